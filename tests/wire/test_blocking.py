"""The blocking client: the same as the async one, from any thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest
from kernelyard._blocking_client import BlockingKernelClient
from kernelyard.errors import ExecutionError, KernelNotReadyError, KernelStateError
from kernelyard.wire.client import AsyncKernelClient

from tests.wire.conftest import PATIENCE


@pytest.fixture
def blocking(shared):
    with BlockingKernelClient(connection_file=shared.file) as client:
        client.wait_for_ready(PATIENCE)
        yield client


# Parity -----------------------------------------------------------------------------------------


#: What a kernel's manager does to the async client, the one within a blocking client included.
FOR_MANAGERS = {"abandon", "follow", "renew"}


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")} - FOR_MANAGERS


def test_both_clients_have_the_same_names():
    instance_attributes = set(vars(AsyncKernelClient())) - {
        n for n in vars(AsyncKernelClient()) if n[0] == "_"
    }
    assert public(AsyncKernelClient) | instance_attributes == public(BlockingKernelClient)


METHODS = sorted(n for n in public(AsyncKernelClient) if inspect.isfunction(getattr(AsyncKernelClient, n)))


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_both_clients_have_the_same_signatures_and_documentation(name):
    ours, theirs = getattr(BlockingKernelClient, name), getattr(AsyncKernelClient, name)
    parameters = [inspect.signature(method).parameters for method in (ours, theirs)]
    assert parameters[0] == parameters[1]
    if name != "__init__":
        assert ours.__doc__ == theirs.__doc__
        assert ours.__doc__


def test_the_connection_can_be_read_and_set_before_the_channels_start(tmp_path):
    client = BlockingKernelClient()
    client.load_connection_info({"shell_port": 1, "iopub_port": 2, "key": "k", "ip": "::1"})
    client.hb_port = 5
    assert client.ports == [1, 0, 2, 5, 0]
    assert client.connection.url("shell") == "tcp://[::1]:1"
    info = client.get_connection_info()
    assert (info["key"], info["transport"], info["signature_scheme"]) == (b"k", "tcp", "hmac-sha256")
    assert client.get_connection_info(session=True)["session"].key == b"k"
    client.connection_file = str(tmp_path / "file.json")
    client.write_connection_file()
    assert AsyncKernelClient(**client.get_connection_info()).connection == client.connection
    again = BlockingKernelClient(connection_file=tmp_path / "file.json")
    again.load_connection_file()
    assert again.connection == client.connection


# Use --------------------------------------------------------------------------------------------


def test_run_and_outputs(blocking):
    result = blocking.run("print('out'); 6 * 7")
    assert (result.stdout, result.data) == ("out\n", {"text/plain": "42"})
    assert [o["output_type"] for o in blocking.outputs("print(1); 2")] == ["stream", "execute_result"]
    with pytest.raises(ExecutionError, match="ZeroDivisionError"):
        blocking.run("1/0", raise_on_error=True)


def test_requests_return_ids_or_replies(blocking):
    assert isinstance(blocking.execute("1"), str)
    assert blocking.get_shell_msg(timeout=PATIENCE)["msg_type"] == "execute_reply"
    assert blocking.kernel_info(reply=True, timeout=PATIENCE)["content"]["implementation"] == "ipython"
    assert blocking.is_complete("for x in y:", reply=True)["content"]["status"] == "incomplete"
    with pytest.raises(queue.Empty):
        blocking.get_control_msg(timeout=0)
    assert blocking.shell_channel.get_msgs() == []
    assert not blocking.shell_channel.msg_ready()
    assert blocking.is_alive()
    assert blocking.hb_channel.is_beating()
    assert blocking.hb_channel.beat(PATIENCE)


def test_timeouts(shared, blocking):
    with pytest.raises(TimeoutError, match=r"time\.sleep"):
        blocking.execute_interactive("import time; time.sleep(60)", timeout=0.1)
    shared.interrupt()
    blocking.kernel_info(reply=True, timeout=PATIENCE)
    assert blocking.run("1").ok


def test_hooks_run_in_the_calling_thread(blocking):
    seen = []

    def output(message):
        seen.append((message["msg_type"], threading.current_thread()))

    def question(message):
        seen.append((message["msg_type"], threading.current_thread()))
        blocking.input("ada")

    blocking.execute_interactive("print(input())", output_hook=output, stdin_hook=question)
    assert {thread for _, thread in seen} == {threading.current_thread()}
    kinds = [kind for kind, _ in seen]
    assert sorted(kinds) == ["execute_input", "input_request", "status", "status", "stream"]


def test_the_terminal_is_used_by_default(blocking, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "typed")
    blocking.execute_interactive("print(input('?')); 1/0")
    shown = capsys.readouterr()
    assert shown.out == "typed\n"
    assert "ZeroDivisionError" in shown.err


def test_an_exception_in_a_hook_is_raised_and_ends_the_waiting(blocking):
    def hook(message):
        raise LookupError("mine")

    with pytest.raises(LookupError):
        blocking.execute_interactive("1", output_hook=hook)
    assert blocking.run("1").ok


def test_many_threads_share_one_client(blocking):
    results = {}

    def work(n):
        results[n] = blocking.run(str(n)).data["text/plain"]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert results == {n: str(n) for n in range(8)}


def test_it_works_in_a_thread_that_runs_an_event_loop(shared):
    async def main():
        with BlockingKernelClient(connection_file=shared.file) as client:
            client.wait_for_ready(PATIENCE)
            return client.run("1").ok, client.execute_interactive("pass")["content"]["status"]

    assert asyncio.run(main()) == (True, "ok")


def test_a_call_on_its_own_loop_is_refused(blocking):
    async def misuse():
        blocking.run("1")

    with pytest.raises(RuntimeError, match="wait for itself"):
        blocking._portal.call(misuse)


def test_without_channels_it_says_what_to_do(shared):
    client = BlockingKernelClient(connection_file=shared.file)
    for call in (
        lambda: client.run("1"),
        lambda: client.execute("1"),
        lambda: client.get_shell_msg(timeout=1),
    ):
        with pytest.raises(KernelStateError, match="start_channels"):
            call()
    client.stop_channels()


def test_nobody_there_is_not_ready(tmp_path):
    ports = dict.fromkeys(("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"), 1)
    with (
        BlockingKernelClient(transport="ipc", ip=str(tmp_path / "no"), **ports) as client,
        pytest.raises(KernelNotReadyError),
    ):
        client.wait_for_ready(0.1)


def test_an_interrupt_ends_the_waiting_promptly(shared, blocking):
    outputs = blocking.outputs("print(1, flush=True); import time; time.sleep(60)")
    next(outputs)
    main = threading.current_thread().ident
    interrupting = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    start = time.perf_counter()
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        next(outputs)
    assert time.perf_counter() - start < 10
    interrupting.join()
    shared.interrupt()
    blocking.kernel_info(reply=True, timeout=PATIENCE)
    assert blocking.run("1").ok


def test_a_program_that_forgets_to_stop_its_client_ends(shared):
    program = f"""
from kernelyard._blocking_client import BlockingKernelClient
client = BlockingKernelClient(connection_file={os.fspath(shared.file)!r})
client.start_channels()
print(client.run("6 * 7").data["text/plain"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_importing_the_clients_imports_nothing_heavy():
    program = "import kernelyard._blocking_client, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    heavy = {"tornado", "jupyter_client", "jupyter_core", "zmq.asyncio", "IPython", "hypothesis", "traitlets"}
    assert done.returncode == 0, done.stderr
    assert not heavy & set(done.stdout.split())
