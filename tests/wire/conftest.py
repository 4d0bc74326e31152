"""Kernels that the tests of the clients talk to: real ones, started without a manager."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq
from kernelyard.connection import (
    free_ipc_numbers,
    new_curve_keys,
    new_key,
    remove_connection_file,
    reserve_ports,
    write_connection_file,
)
from kernelyard.types import CHANNELS, Channel, ConnectionInfo, ExitReason, ExitStatus
from kernelyard.wire.client import AsyncKernelClient
from kernelyard.wire.session import Session

IPYKERNEL = (sys.executable, "-m", "ipykernel_launcher", "-f", "{file}")

#: Seconds that a kernel has to start, on a machine that is busy with other tests.
PATIENCE = 60


class RunningKernel:
    """A kernel's process; and, for a client, the link that a manager would be."""

    def __init__(self, directory: Path, argv: tuple[str, ...] = IPYKERNEL) -> None:
        self.directory = directory
        self.argv = argv
        self.file = directory / "connection.json"
        self.connection = ConnectionInfo()
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[AsyncKernelClient] = []
        self.answers = 0
        self._ended: asyncio.Event | None = None
        self._stack = ExitStack()

    def start(self, connection: ConnectionInfo | None = None, **changes: object) -> None:
        """Start a process at this connection, or at free ports."""
        base = ConnectionInfo(key=new_key()) if connection is None else connection
        base = dataclasses.replace(base, **changes)
        if base.transport == "ipc":
            self.connection = base.with_ports(free_ipc_numbers())
            self._launch(())
            return
        with reserve_ports(base.ip, base.ports) as reserved:
            self.connection = base.with_ports(reserved.ports)
            self._launch(reserved.filenos)

    def _launch(self, filenos: tuple[int, ...]) -> None:
        write_connection_file(self.file, self.connection)
        self._ended = None
        self.process = subprocess.Popen(
            [part.format(file=self.file) for part in self.argv],
            pass_fds=filenos,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                "JPY_PARENT_PID": str(os.getpid()),
                "IPYTHONDIR": str(self.directory / "ipython"),
                "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            },
        )

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        remove_connection_file(self.file, self.connection)

    def close(self) -> None:
        self._stack.close()

    # The link -----------------------------------------------------------------------------------

    async def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def wait_exit(self) -> ExitStatus:
        process = self.process  # that of now: a restart replaces it
        if await self.is_alive():
            if self._ended is None:
                self._ended = asyncio.Event()
                watched = os.pidfd_open(self.process.pid)
                loop = asyncio.get_running_loop()

                def ended(event: asyncio.Event = self._ended) -> None:
                    loop.remove_reader(watched)
                    event.set()

                loop.add_reader(watched, ended)
                self._stack.callback(os.close, watched)
                self._stack.callback(loop.remove_reader, watched)
            await self._ended.wait()
        code = process.wait()
        return ExitStatus(reason=ExitReason.EXIT_CODE if code else ExitReason.CLEAN, exit_code=code)

    def answered(self) -> None:
        self.answers += 1

    async def logs(self, tail: int) -> list[str]:
        return []

    async def waited_in_vain(self) -> None:
        pass

    def current(self) -> ConnectionInfo | None:
        return None

    def who(self) -> dict[str, str | None]:
        return {"kernel_id": "the-kernel", "provisioner": "test"}

    def register(self, client: AsyncKernelClient) -> None:
        self.clients.append(client)

    def unregister(self, client: AsyncKernelClient) -> None:
        if client in self.clients:
            self.clients.remove(client)


@contextmanager
def running_kernel(
    directory: Path, argv: tuple[str, ...] = IPYKERNEL, **how: object
) -> Iterator[RunningKernel]:
    directory.mkdir(exist_ok=True)
    kernel = RunningKernel(directory, argv)
    kernel.start(**how)
    try:
        yield kernel
    finally:
        kernel.kill()
        kernel.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKernel]:
    """One kernel for all the tests that leave it as it was."""
    with running_kernel(tmp_path_factory.mktemp("shared")) as kernel:
        yield kernel


@pytest.fixture
def start_kernel(tmp_path: Path) -> Iterator[Callable[..., RunningKernel]]:
    """Return a function that starts a kernel for this test alone."""
    with ExitStack() as stack:
        yield lambda *argv, **how: stack.enter_context(
            running_kernel(tmp_path / "kernel", *([argv] if argv else []), **how)
        )


@pytest.fixture
async def client(shared: RunningKernel) -> AsyncIterator[AsyncKernelClient]:
    """A client of the shared kernel, ready."""
    async with AsyncKernelClient(connection_file=shared.file) as client:
        await client.wait_for_ready(PATIENCE)
        yield client


@pytest.fixture
def curve() -> dict[str, str]:
    public, secret = new_curve_keys()
    return {"curve_publickey": public, "curve_secretkey": secret}


class Puppet:
    """The sockets of a kernel, without a kernel: the test decides what they say."""

    def __init__(self, directory: Path) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.connection = ConnectionInfo(
            transport="ipc", ip=str(directory / "puppet"), key=new_key()
        ).with_ports(free_ipc_numbers())
        self.session = Session(key=self.connection.key.encode())
        self.sockets: dict[Channel, zmq.Socket[bytes]] = {}
        for channel in CHANNELS:
            socket = self.context.socket(zmq.XPUB if channel == "iopub" else zmq.ROUTER)
            socket.bind(self.connection.url(channel))
            self.sockets[channel] = socket

    def close(self) -> None:
        self.context.destroy(linger=0)
        remove_connection_file(None, self.connection)

    async def receive(self, channel: Channel) -> list[bytes]:
        """Return the next frames that came on a channel."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not self.sockets[channel].poll(0):
            assert asyncio.get_running_loop().time() < deadline, f"nothing came on {channel}"
            await asyncio.sleep(0.001)
        return self.sockets[channel].recv_multipart()

    async def request(self, channel: Channel = "shell") -> tuple[list[bytes], dict]:
        """Return the identities and the next message that came on a channel."""
        identities, frames = self.session.feed_identities(await self.receive(channel))
        return identities, self.session.deserialize(frames)

    def frames(self, msg_type: str, content: dict, parent: dict | None = None) -> list[bytes]:
        return self.session.serialize(self.session.msg(msg_type, content, parent=parent))

    def publish(self, frames: list[bytes]) -> None:
        self.sockets["iopub"].send_multipart([b"topic", *frames])

    async def subscribed(self) -> None:
        assert (await self.receive("iopub")) == [b"\x01"]


@pytest.fixture
def puppet(tmp_path: Path) -> Iterator[Puppet]:
    puppet = Puppet(tmp_path)
    yield puppet
    puppet.close()


@pytest.fixture
async def puppet_client(puppet: Puppet) -> AsyncIterator[AsyncKernelClient]:
    """A client of the puppet, subscribed."""
    async with AsyncKernelClient(connection=puppet.connection) as client:
        await puppet.subscribed()
        yield client
