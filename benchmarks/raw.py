"""The floor: what talks to a kernel with nothing but pyzmq, and starts one with nothing but subprocess."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

__all__ = ["ECHO", "IPYKERNEL", "RawClient", "RawKernel", "free_connection"]

#: The commands of the kernels that are measured, but for the path of the connection file.
IPYKERNEL = (sys.executable, "-m", "ipykernel_launcher", "-f")
ECHO = (sys.executable, str(Path(__file__).with_name("echo_kernel.py")))

_DELIMITER = b"<IDS|MSG>"
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def free_connection() -> dict[str, Any]:
    """Return the content of a connection file with ports that were free a moment ago."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in _CHANNELS]
    ports = {f"{name}_port": s.getsockname()[1] for name, s in zip(_CHANNELS, held, strict=True)}
    for each in held:
        each.close()
    key = uuid.uuid4().hex
    return {"transport": "tcp", "ip": "127.0.0.1", "key": key, "signature_scheme": "hmac-sha256", **ports}


class RawClient:
    """The least that can run code in a kernel: two sockets, prepared frames, one signature.

    Args:
        connection: the content of the kernel's connection file.
    """

    def __init__(self, connection: dict[str, Any]) -> None:
        self._key = connection["key"].encode()
        self._numbers = itertools.count()
        self._session = uuid.uuid4().hex
        self._context = zmq.Context()
        self.shell = self._connect(connection, "shell", zmq.DEALER)
        self.iopub = self._connect(connection, "iopub", zmq.SUB)
        self.iopub.setsockopt(zmq.SUBSCRIBE, b"")

    def _connect(self, connection: dict[str, Any], channel: str, kind: int) -> zmq.Socket[bytes]:
        connected = self._context.socket(kind)
        connected.setsockopt(zmq.RECONNECT_IVL, 10)
        connected.connect(f"tcp://{connection['ip']}:{connection[f'{channel}_port']}")
        return connected

    def close(self) -> None:
        """Close the sockets."""
        self._context.destroy(linger=0)

    def send(self, kind: str, content: dict[str, Any]) -> bytes:
        """Send a request on shell, and return its id as it stands in the answers' parent header."""
        msg_id = f"{self._session}_{next(self._numbers)}"
        header = {
            "msg_id": msg_id,
            "msg_type": kind,
            "username": "",
            "session": self._session,
            "date": "2000-01-01T00:00:00Z",
            "version": "5.4",
        }
        frames = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        signature = hmac.new(self._key, b"".join(frames), hashlib.sha256).hexdigest().encode()
        self.shell.send_multipart([_DELIMITER, signature, *frames])
        return msg_id.encode()

    def ask_kernel_info(self) -> None:
        """Ask which kernel this is, and wait for the reply."""
        msg_id = self.send("kernel_info_request", {})
        while msg_id not in self.shell.recv_multipart()[3]:
            pass

    def wait_for_iopub(self) -> None:
        """Ask again until iopub delivers."""
        poller = zmq.Poller()
        poller.register(self.iopub, zmq.POLLIN)
        self.ask_kernel_info()
        while not poller.poll(20):
            self.ask_kernel_info()
        while poller.poll(20):
            self.iopub.recv_multipart()

    def execute(self, code: str) -> None:
        """Run code, and wait for its reply and for the kernel to be idle again."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        msg_id = self.send("execute_request", content)
        while True:
            frames = self.iopub.recv_multipart()[-6:]
            if msg_id in frames[3] and b'"idle"' in frames[5]:
                break
        while msg_id not in self.shell.recv_multipart()[3]:
            pass


class RawKernel:
    """A kernel started with nothing but subprocess.

    Args:
        command: `IPYKERNEL` or `ECHO`.
        directory: where to put its connection file.
    """

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self.connection = free_connection()
        self.connection_file = directory / f"raw-{uuid.uuid4()}.json"
        descriptor = os.open(self.connection_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.connection, file)
        self.process = subprocess.Popen(
            [*command, str(self.connection_file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.connection_file.unlink(missing_ok=True)


@contextmanager
def running(command: Sequence[str], directory: Path) -> Iterator[RawKernel]:
    """Have a kernel that answers, for as long as the block runs."""
    kernel = RawKernel(command, directory)
    try:
        client = RawClient(kernel.connection)
        try:
            client.ask_kernel_info()
        finally:
            client.close()
        yield kernel
    finally:
        kernel.kill()
