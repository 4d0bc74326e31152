"""The leak guard finds what it is there for."""

import asyncio
import os
import subprocess
import threading

import pytest
from kernelyard.testing import LeakGuard, no_leaks  # noqa: F401 - a fixture is imported to be used

pytestmark = pytest.mark.anyio


async def test_nothing_is_found_where_nothing_was_left(tmp_path):
    guard = LeakGuard(tmp_path)
    subprocess.run(["true"], check=True)
    (tmp_path / "gone").touch()
    (tmp_path / "gone").unlink()
    assert guard.leaks() == []
    await guard.check()


async def test_each_kind_of_leak_is_found_and_named(tmp_path):
    guard = LeakGuard(tmp_path)
    end = threading.Event()
    child = subprocess.Popen(["sleep", "3600"])
    thread = threading.Thread(target=end.wait, name="left-thread")
    thread.start()
    task = asyncio.create_task(asyncio.sleep(3600), name="left-task")
    reading, writing = os.pipe()
    (tmp_path / "left-file").touch()
    try:
        found = guard.leaks()
        with pytest.raises(pytest.fail.Exception, match="left-file"):
            await guard.check(grace=0)
    finally:
        child.kill()
        child.wait()
        end.set()
        thread.join()
        task.cancel()
        os.close(reading)
        os.close(writing)
        (tmp_path / "left-file").unlink()
    for kind, name in [
        ("process", "sleep"),
        ("thread", "left-thread"),
        ("file descriptor", "pipe:"),
        ("task", "left-task"),
        ("file", "left-file"),
    ]:
        assert any(leak.startswith(f"{kind}: ") and name in leak for leak in found), (kind, found)
    await guard.check()


async def test_what_is_ending_gets_time_to_end():
    guard = LeakGuard()
    thread = threading.Timer(0.1, lambda: None)
    thread.start()
    await guard.check()
    assert not thread.is_alive()


@pytest.mark.usefixtures("no_leaks")
async def test_guard_is_a_fixture_for_async_tests():
    await asyncio.create_task(asyncio.sleep(0))


@pytest.mark.usefixtures("no_leaks")
def test_guard_is_a_fixture_for_plain_tests():
    subprocess.run(["true"], check=True)
