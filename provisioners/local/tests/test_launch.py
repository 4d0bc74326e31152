"""What a kernel's process is given: ports, sockets, files, environment, limits; and why it may not start."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from kernelyard.errors import CommandNotFoundError, LaunchError, PortConflictError
from kernelyard.testing._talk import talking
from kernelyard.types import CHANNELS, ConnectionInfo, ExitReason, Resources

pytestmark = pytest.mark.anyio

IPYKERNEL = (
    sys.executable,
    "-m",
    "ipykernel_launcher",
    "-f",
    "{connection_file}",
    "--HistoryManager.enabled=False",
)


async def output_of(provisioner, handle):
    status = await provisioner.kernelyard_wait(handle)
    return "\n".join(status.output)


# Ports and sockets ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="ports can be reserved on Linux")
async def test_ports_are_the_kernels_from_launch_to_end(provisioner, launch):
    """Nobody else can have them, although the kernel does not listen; with the kernel the reservation ends."""
    handle = await launch()
    for port in handle.connection.ports.values():
        with socket.socket() as other, pytest.raises(OSError) as caught:
            other.bind(("127.0.0.1", port))
        assert caught.value.errno == errno.EADDRINUSE
    await provisioner.kernelyard_kill(handle)
    await provisioner.kernelyard_cleanup(handle, restart=False)
    for port in handle.connection.ports.values():
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))


async def test_address_of_another_machine_is_refused(provisioner, request_for, directory):
    with pytest.raises(LaunchError, match="not an address of this machine") as caught:
        await provisioner.kernelyard_launch(request_for(connection=ConnectionInfo(ip="203.0.113.7")))
    assert "ip" in caught.value.hint
    assert list(directory.iterdir()) == []


async def test_ipc_kernel_answers_on_sockets_that_cleanup_removes(provisioner, launch, directory):
    """A socket that a dead kernel left at the same path is not in the way."""
    prefix = directory / "k-ipc"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{prefix}-1")
    connection = ConnectionInfo(transport="ipc", ip=str(prefix), key="secret")
    handle = await launch(argv=IPYKERNEL, connection=connection)
    assert sorted(handle.connection.ports.values()) == [1, 2, 3, 4, 5]
    async with talking(handle.connection) as talk:
        assert (await talk.run("print('over a socket')")).strip() == "over a socket"
    await provisioner.kernelyard_kill(handle)
    await provisioner.kernelyard_cleanup(handle, restart=True)
    assert list(directory.glob("k-ipc*")) == []


async def test_ipc_socket_in_use_is_refused(provisioner, request_for, directory):
    """It is another kernel's, and stays so."""
    path = directory / "k-ipc-3"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen()
        connection = ConnectionInfo(transport="ipc", ip=str(directory / "k-ipc"))
        with pytest.raises(PortConflictError, match="k-ipc-3"):
            await provisioner.kernelyard_launch(request_for(connection=connection))
        assert path.exists()
    path.unlink()


async def test_ipc_numbers_that_were_asked_for_are_used(launch, directory):
    connection = ConnectionInfo(transport="ipc", ip=str(directory / "k-ipc"), shell_port=2, hb_port=77)
    ports = (await launch(connection=connection)).connection.ports
    assert (ports["shell"], ports["hb"]) == (2, 77)
    assert len(set(ports.values())) == len(CHANNELS)


@pytest.mark.parametrize(
    ("prefix", "reason"), [("/tmp/" + "x" * 200, "107 bytes|allows 10"), ("relative", "not absolute")]
)
async def test_ipc_path_that_cannot_work_is_refused_before_the_start(
    provisioner, request_for, directory, prefix, reason
):
    """The message says what is wrong, the hint what to do."""
    with pytest.raises(LaunchError, match=reason) as caught:
        await provisioner.kernelyard_launch(
            request_for(connection=ConnectionInfo(transport="ipc", ip=prefix))
        )
    assert "ip" in caught.value.hint
    assert list(directory.iterdir()) == []


# Files and output ----------------------------------------------------------------------------------------------


async def test_files_of_a_kernel_are_its_owners_only(launch, directory):
    handle = await launch()
    assert len(list(directory.iterdir())) == 2
    for path in (Path(handle.connection_file), Path(handle.ref["log"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_log_goes_on_after_a_restart_and_each_kernel_tells_its_own_lines(provisioner, launch):
    old = await launch("print('first'); raise SystemExit(1)")
    await provisioner.kernelyard_wait(old)
    await provisioner.kernelyard_cleanup(old, restart=True)
    new = await launch("print('second'); raise SystemExit(1)", kernel_id=old.kernel_id, previous=old)
    assert (await provisioner.kernelyard_wait(new)).output == ("second",)
    assert await provisioner.kernelyard_logs(new, 10) == ("second",)
    assert Path(new.ref["log"]).read_text().split() == ["first", "second"]


async def test_log_that_is_a_link_is_not_followed(provisioner, request_for, directory):
    """Somebody else's file is not written to."""
    (directory / "other").write_text("")
    (directory / "kernelyard-logs").mkdir()
    (directory / "kernelyard-logs" / "kernel-k.log").symlink_to(directory / "other")
    with pytest.raises(LaunchError):
        await provisioner.kernelyard_launch(request_for("print('no')", kernel_id="k"))
    assert (directory / "other").read_text() == ""
    (directory / "other").unlink()


async def test_log_that_the_kernel_replaced_by_a_pipe_does_not_block(provisioner, launch):
    handle = await launch()
    log = Path(handle.ref["log"])
    log.unlink()
    os.mkfifo(log)
    assert await provisioner.kernelyard_logs(handle, 10) == ()


async def test_output_goes_where_the_caller_wants_it(provisioner, launch, directory):
    """Then there is no log, and nothing to tell."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        handle = await launch("print('to the caller')", stdout=writing, stderr=subprocess.STDOUT)
        os.close(writing)
        assert pipe.read() == "to the caller\n"
    assert (await provisioner.kernelyard_wait(handle)).output == ()
    assert list(directory.rglob("*.log")) == []


async def test_pipe_of_subprocess_is_the_log(provisioner, launch):
    """Nobody would read it, and the kernel would stop when it is full."""
    handle = await launch("print('x' * 10**6); print('end')", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (await provisioner.kernelyard_wait(handle)).output[-1] == "end"


async def test_exit_status_keeps_as_many_lines_as_the_setting_says(provisioner, launch):
    handle = await launch("for i in range(9): print(i)", settings={"output_lines": 2})
    assert (await provisioner.kernelyard_wait(handle)).output == ("7", "8")


# Environment and directory -------------------------------------------------------------------------------------

_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


async def environment_of(provisioner, handle):
    return json.loads(await output_of(provisioner, handle))


async def test_environment_is_the_managers_and_the_requests_without_what_misleads(
    provisioner, launch, monkeypatch
):
    monkeypatch.setenv("PYTHONEXECUTABLE", "/no/such/python")
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("OF_THE_MANAGER", "1")
    seen = await environment_of(provisioner, await launch(_ENVIRONMENT, env={"OF_THE_REQUEST": "2"}))
    assert (seen["OF_THE_MANAGER"], seen["OF_THE_REQUEST"]) == ("1", "2")
    assert seen["JPY_PARENT_PID"] == str(os.getpid())
    assert "PYTHONEXECUTABLE" not in seen


async def test_environment_can_be_the_requests_alone(provisioner, launch, monkeypatch):
    monkeypatch.setenv("OF_THE_MANAGER", "1")
    handle = await launch(_ENVIRONMENT, env={"ONLY": "this"}, inherit_env=False)
    seen = await environment_of(provisioner, handle)
    assert seen["ONLY"] == "this"
    assert "OF_THE_MANAGER" not in seen


async def test_independent_kernel_has_no_parent_to_watch(provisioner, launch, monkeypatch):
    """Not even one that the manager's own environment names."""
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert "JPY_PARENT_PID" not in await environment_of(
        provisioner, await launch(_ENVIRONMENT, independent=True)
    )


async def test_kernel_runs_in_its_directory(provisioner, launch, tmp_path):
    handle = await launch("import os; print(os.getcwd())", cwd=str(tmp_path))
    assert await output_of(provisioner, handle) == str(tmp_path.resolve())


# Failures to start ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0, "No such file"),
        ("#!/no/such/interpreter\n", 0o755, "No such file"),
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("no magic\n", 0o755, "Exec format error"),
    ],
)
async def test_command_that_cannot_be_run_is_named_with_the_reason(
    *, provisioner, request_for, directory, tmp_path, content, mode, reason
):
    command = tmp_path / "kernel"
    if content is not None:
        command.write_text(content)
        command.chmod(mode)
    with pytest.raises(CommandNotFoundError, match=reason) as caught:
        await provisioner.kernelyard_launch(request_for(argv=(str(command),)))
    assert caught.value.filename == str(command)
    assert str(command) in str(caught.value)
    assert "'test'" in str(caught.value)
    assert caught.value.hint
    assert list(directory.iterdir()) == []


async def test_missing_directory_is_not_taken_for_a_missing_command(provisioner, request_for, directory):
    with pytest.raises(LaunchError, match="working directory '/no/such/place'") as caught:
        await provisioner.kernelyard_launch(request_for(cwd="/no/such/place"))
    assert not isinstance(caught.value, CommandNotFoundError)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("argv", [(), ("",), ("with a \0 byte",)])
async def test_command_that_is_none_is_refused(provisioner, request_for, directory, argv):
    with pytest.raises(LaunchError):
        await provisioner.kernelyard_launch(request_for(argv=argv))
    assert list(directory.iterdir()) == []


async def test_missing_ipykernel_is_named_with_the_remedy(provisioner, launch):
    """In the words of the Python that lacks it."""
    handle = await launch(argv=(sys.executable, "-I", "-S", "-m", "ipykernel_launcher"))
    status = await provisioner.kernelyard_wait(handle)
    assert status.exit_code == 1
    assert status.hint.endswith("-m pip install ipykernel")


async def test_taken_port_is_the_reason_of_the_end(provisioner, launch):
    """As a kernel says it that finds its port in use where ports cannot be reserved."""
    code = "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s: socket.create_server(s.getsockname())"
    status = await provisioner.kernelyard_wait(await launch(code))
    assert status.reason == ExitReason.PORT_CONFLICT
    assert status.exit_code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_launch_that_runs_out_of_descriptors_leaves_nothing(directory):
    """Whichever step it is that cannot be done."""
    program = f"""
import asyncio, os, resource
from pathlib import Path
import psutil
from kernelyard.errors import LaunchError
from kernelyard.types import *
from kernelyard_local import LocalProvisioner
async def main():
    local, refused = LocalProvisioner(), 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in [*range(1, 16), 100]:
        request = LaunchRequest(kernel_id="k", argv=("sleep", "3600"), connection=ConnectionInfo(),
                                connection_file="{directory}/k.json")
        held = len(os.listdir("/proc/self/fd")) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + spare, hard))
        try:
            handle = await local.kernelyard_launch(request)
        except LaunchError:
            handle, refused = None, refused + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if handle is not None:
            await local.kernelyard_cleanup(handle, False)
        assert psutil.Process().children() == [], spare
        assert list(Path("{directory}").iterdir()) == [], spare
        assert len(os.listdir("/proc/self/fd")) - 1 == held, spare
    assert 5 < refused < 16, refused
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Limits --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux")
async def test_memory_limit_holds(provisioner, launch):
    """Too much of it is an exception in the kernel, which can go on."""
    code = (
        "import resource\nwhile resource.getrlimit(resource.RLIMIT_DATA)[0] < 0: pass\n"
        "try: bytearray(2**30)\nexcept MemoryError: print('too much')"
    )
    assert await output_of(provisioner, await launch(code, resources=Resources(memory=2**29))) == "too much"


async def test_limits_that_cannot_be_enforced_are_said_at_launch(provisioner, launch, caplog):
    provisioner.log.propagate = True
    await launch(resources=Resources(cpus=2, pids=100, network="default"))
    assert "cpus, pids" in caplog.text
    assert "network" not in caplog.text


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK), reason="needs cgroups of its own"
)
async def test_kernel_killed_for_lack_of_memory_has_that_reason(directory):
    """A control group with 64 MB: the kernel that takes more is killed by the system, and the status says so."""
    group = Path(f"/sys/fs/cgroup/memory/{directory.name}")
    group.mkdir()
    program = f"""
import asyncio, os, sys
open("{group}/memory.limit_in_bytes", "w").write(str(64 * 2**20))
open("{group}/cgroup.procs", "w").write(str(os.getpid()))
from kernelyard.types import *
from kernelyard_local import LocalProvisioner
async def main():
    hog = "x = []\\nwhile True: x.append(bytearray(2**20))"
    request = LaunchRequest(kernel_id="k", argv=(sys.executable, "-c", hog), connection=ConnectionInfo(),
                            connection_file="{directory}/k.json")
    local = LocalProvisioner()
    handle = await local.kernelyard_launch(request)
    status = await local.kernelyard_wait(handle)
    await local.kernelyard_cleanup(handle, False)
    print(status.reason.value, status.signal)
asyncio.run(main())
"""
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout == "oom 9\n", done.stderr
    finally:
        group.rmdir()
