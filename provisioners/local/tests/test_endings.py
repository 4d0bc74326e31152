"""How ends are noticed, told and remembered: processes, their parents, and strangers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from kernelyard.errors import UnknownHandleError
from kernelyard.types import ExitReason, KernelHandle
from kernelyard_local import LocalProvisioner
from kernelyard_local._process import MARK

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="about pidfds and /proc")]


def state_of(handle: KernelHandle) -> str:
    return psutil.Process(int(str(handle.ref["pid"]))).status()


async def test_killed_kernel_is_reported_within_50_ms(provisioner, launch):
    """The best of five, so that a busy machine does not fail it."""
    took = []
    for _ in range(5):
        handle = await launch()
        waiting = asyncio.create_task(provisioner.kernelyard_wait(handle))
        await asyncio.sleep(0)
        begun = time.perf_counter()
        os.kill(handle.ref["pid"], signal.SIGKILL)
        assert (await waiting).signal == signal.SIGKILL
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.05


async def test_ended_kernel_stays_a_zombie_until_its_cleanup(provisioner, launch):
    """So its pid is nobody else's, and its exit status can be asked for again."""
    handle = await launch("raise SystemExit(9)")
    await provisioner.kernelyard_wait(handle)
    assert state_of(handle) == psutil.STATUS_ZOMBIE
    await provisioner.kernelyard_cleanup(handle, restart=False)
    assert not psutil.pid_exists(handle.ref["pid"])


async def test_subprocess_module_does_not_reap_our_kernels(provisioner, launch):
    """It collects children of dropped Popen objects whenever it starts another."""
    handle = await launch("raise SystemExit(9)")
    await provisioner.kernelyard_wait(handle)
    subprocess.run(["true"], check=True)
    subprocess._cleanup()
    assert (await provisioner.kernelyard_poll(handle)).exit_code == 9


async def test_kernel_that_somebody_else_reaped_is_told_by_waiters_and_lost_to_others(provisioner, launch):
    """A program that waits for any child takes the status; a pidfd that was open still has it (Linux 6.15)."""
    handle = await launch()
    waiting = asyncio.create_task(provisioner.kernelyard_wait(handle))
    await asyncio.sleep(0)
    os.kill(handle.ref["pid"], signal.SIGUSR1)
    os.waitpid(handle.ref["pid"], 0)
    told = await waiting
    if tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (6, 15):
        assert told.signal == signal.SIGUSR1
    else:
        assert told.reason == ExitReason.LOST
    assert (await provisioner.kernelyard_poll(handle)).reason == ExitReason.LOST


async def test_kernel_of_another_boot_is_lost(provisioner, launch):
    """Its pid says nothing after the machine was started again."""
    handle = await launch()
    before = dataclasses.replace(handle, ref={**handle.ref, "boot_id": "another", "log": None})
    assert (await provisioner.kernelyard_poll(before)).reason == ExitReason.LOST
    await provisioner.kernelyard_kill(before)
    with pytest.raises(UnknownHandleError):
        await provisioner.kernelyard_attach(before)
    assert await provisioner.kernelyard_poll(handle) is None


@pytest.mark.parametrize("pid", [-1, 0, 1, True, "7", None])
async def test_pid_that_means_others_is_refused(provisioner, launch, pid):
    """To kill(), 0 and -1 are groups of processes that are not ours."""
    handle = await launch()
    forged = dataclasses.replace(handle, ref={**handle.ref, "pid": pid})
    with pytest.raises(UnknownHandleError):
        await provisioner.kernelyard_kill(forged)


async def test_group_of_a_kernel_that_was_reaped_by_others_is_swept_by_its_mark(provisioner, launch):
    """Its children live on under a number that a stranger's group might have by now."""
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '3600']).pid)"
    handle = await launch(code)
    status = await provisioner.kernelyard_wait(handle)
    os.waitpid(handle.ref["pid"], 0)
    child = psutil.Process(int(status.output[-1]))
    while not (environment := child.environ()):  # it is just being executed
        await asyncio.sleep(0)
    assert environment[MARK] == handle.kernel_id
    await provisioner.kernelyard_cleanup(dataclasses.replace(handle, kernel_id="another"), restart=True)
    assert child.is_running()
    await provisioner.kernelyard_cleanup(handle, restart=False)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_stopped_kernel_can_be_killed(provisioner, launch):
    """SIGSTOP does not protect it."""
    handle = await launch()
    await provisioner.kernelyard_signal(handle, signal.SIGSTOP)
    await provisioner.kernelyard_kill(handle)
    assert (await provisioner.kernelyard_poll(handle)).signal == signal.SIGKILL


async def test_cancelled_waiters_leave_no_descriptor(provisioner, launch):
    """The leak guard looks on."""
    handle = await launch()
    waiters = [asyncio.create_task(provisioner.kernelyard_wait(handle)) for _ in range(20)]
    await asyncio.sleep(0)
    for waiter in waiters:
        waiter.cancel()
    assert all(
        isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*waiters, return_exceptions=True)
    )


# Programs that exit without shutting their kernels down --------------------------------------------------------

_PROGRAM = """
import asyncio, json, os, sys
from kernelyard.types import *
from kernelyard_local import LocalProvisioner

async def main():
    fields = json.load(sys.stdin)
    request = LaunchRequest(connection=ConnectionInfo(), **fields)
    print((await LocalProvisioner().kernelyard_launch(request)).to_json(), flush=True)

asyncio.run(main())
if {fork}:
    if os.fork() == 0:
        sys.exit()
    os.wait()
    print("forked child is gone", flush=True)
    sys.stdin.close()
    os._exit(0)
"""


def run_program(directory: Path, *, fork: bool = False, **fields: Any) -> KernelHandle:
    request = {
        "kernel_id": "k",
        "argv": ["sleep", "3600"],
        "connection_file": str(directory / "k.json"),
        **fields,
    }
    program = [sys.executable, "-c", _PROGRAM.replace("{fork}", str(fork))]
    done = subprocess.run(program, input=json.dumps(request), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return KernelHandle.from_json(done.stdout.splitlines()[0])


async def test_kernel_ends_with_the_program_that_launched_it(directory):
    """And takes its files along."""
    handle = run_program(directory)
    assert not psutil.pid_exists(handle.ref["pid"])
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("fields", [{"independent": True}, {"fork": True}])
async def test_kernel_goes_on_when_it_is_independent_or_only_a_fork_exits(directory, fields):
    """A forked child is not the program that launched it."""
    handle = run_program(directory, **fields)
    other = LocalProvisioner()
    assert await other.kernelyard_poll(handle) is None
    waiting = asyncio.create_task(other.kernelyard_wait(handle))
    await asyncio.sleep(0)
    await other.kernelyard_kill(handle)
    status = await waiting
    assert status.signal == signal.SIGKILL or status.reason == ExitReason.LOST
    await other.kernelyard_cleanup(handle, restart=False)
