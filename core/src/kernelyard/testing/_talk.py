"""The least of a client that the contract needs: say something to a kernel and read what it prints."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import zmq
import zmq.asyncio

from kernelyard.types import ConnectionInfo
from kernelyard.wire import message as wire

__all__ = ["Talk", "talking"]


class Talk:
    """A conversation with a kernel. Deadlines are the caller's."""

    def __init__(self, connection: ConnectionInfo, context: zmq.asyncio.Context) -> None:
        self._signer = wire.Signer(connection.key.encode(), connection.signature_scheme)
        self._session = uuid.uuid4().hex
        self._shell = context.socket(zmq.DEALER)
        self._iopub = context.socket(zmq.SUB)
        self._iopub.subscribe(b"")
        for socket, channel in ((self._shell, "shell"), (self._iopub, "iopub")):
            socket.linger = 0
            socket.reconnect_ivl = 20
            if connection.curve_publickey is not None and connection.curve_secretkey is not None:
                socket.curve_serverkey = socket.curve_publickey = connection.curve_publickey.encode()
                socket.curve_secretkey = connection.curve_secretkey.encode()
            socket.connect(connection.url(channel))  # type: ignore[arg-type]  # the two literals above are channels

    async def ready(self) -> dict[str, Any]:
        """Return what the kernel says of itself, once it answers and its output is heard."""
        while True:
            # Output is lost until the subscription has arrived: ask until an answer is heard there too.
            request = await self._send("kernel_info_request", {})
            info = await self._reply(request)
            if await self._iopub.poll(100):
                return info

    async def send(self, code: str) -> str:
        """Have code run, and return the request's id at once."""
        return await self._send("execute_request", _execute(code))

    async def begin(self, code: str, until: str) -> str:
        """Have code run, and return the request's id when it has printed `until`."""
        request = await self.send(code)
        printed = ""
        while until not in printed:
            message = await self._output(request)
            printed += message["content"].get("text", "")
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(message["content"]["traceback"]))
        return request

    async def finish(self, request: str) -> dict[str, Any]:
        """Return the reply to a request."""
        return await self._reply(request)

    async def run(self, code: str) -> str:
        """Run code, and return what it printed.

        Raises:
            AssertionError: it raised an exception.
        """
        request = await self.send(code)
        printed = ""
        while True:
            message = await self._output(request)
            content = message["content"]
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                await self._reply(request)
                return printed
            printed += content.get("text", "")

    async def _send(self, kind: str, content: dict[str, Any]) -> str:
        identity = uuid.uuid4().hex
        header = wire.new_header(identity, kind, "contract", self._session)
        await self._shell.send_multipart(wire.serialise(wire.build(header, content), self._signer))
        return identity

    async def _reply(self, request: str) -> dict[str, Any]:
        while True:
            message = await self._receive(self._shell)
            if message["parent_header"].get("msg_id") == request:
                return dict(message["content"])

    async def _output(self, request: str) -> dict[str, Any]:
        while True:
            message = await self._receive(self._iopub)
            if message["parent_header"].get("msg_id") == request:
                return message

    async def _receive(self, socket: zmq.asyncio.Socket) -> dict[str, Any]:
        _, frames = wire.split(await socket.recv_multipart())
        return wire.parse(frames, self._signer)

    def close(self) -> None:
        """Close the sockets."""
        self._shell.close()
        self._iopub.close()


def _execute(code: str) -> dict[str, Any]:
    return {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }


@asynccontextmanager
async def talking(connection: ConnectionInfo) -> AsyncIterator[Talk]:
    """Talk to a kernel that answers."""
    context = zmq.asyncio.Context()
    talk = Talk(connection, context)
    try:
        await talk.ready()
        yield talk
    finally:
        talk.close()
        context.term()
