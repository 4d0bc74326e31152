"""A kernel that runs nothing, and answers at once: what remains of a request's time is the client's.

It publishes what ipykernel publishes about a request to run code (busy, the input, idle), and signs correctly.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import zmq

_DELIMITER = b"<IDS|MSG>"
_INFO = {
    "status": "ok",
    "protocol_version": "5.4",
    "implementation": "echo",
    "implementation_version": "1",
    "language_info": {"name": "echo", "version": "1", "mimetype": "text/plain", "file_extension": ".txt"},
    "banner": "",
    "help_links": [],
}


class EchoKernel:
    """Args: connection: the content of the connection file."""

    def __init__(self, connection: dict[str, Any]) -> None:
        context = zmq.Context()

        def bound(channel: str, kind: int) -> zmq.Socket[bytes]:
            socket = context.socket(kind)
            socket.bind(f"tcp://{connection['ip']}:{connection[f'{channel}_port']}")
            return socket

        self._key = hmac.new(connection["key"].encode(), digestmod=hashlib.sha256)
        self._numbers = itertools.count()
        self._shell = bound("shell", zmq.ROUTER)
        self._control = bound("control", zmq.ROUTER)
        self._iopub = bound("iopub", zmq.PUB)
        self._stdin = bound("stdin", zmq.ROUTER)
        self._hb = bound("hb", zmq.ROUTER)

    def serve(self) -> None:
        """Answer until a request to shut down comes."""
        poller = zmq.Poller()
        for socket in (self._shell, self._control, self._hb):
            poller.register(socket, zmq.POLLIN)
        while True:
            for socket, _ in poller.poll():
                frames = socket.recv_multipart()
                if socket is self._hb:
                    socket.send_multipart(frames)
                elif self._answer(socket, frames) == "shutdown_request":
                    return

    def _answer(self, socket: zmq.Socket[bytes], frames: list[bytes]) -> str:
        start = frames.index(_DELIMITER)
        parent, content = frames[start + 2], frames[start + 5]
        kind: str = json.loads(parent)["msg_type"]
        reply: dict[str, Any] = {"status": "ok"}
        self._publish(parent, "status", {"execution_state": "busy"})
        if kind == "execute_request":
            self._publish(
                parent, "execute_input", {"code": json.loads(content)["code"], "execution_count": 1}
            )
            reply.update(execution_count=1, user_expressions={}, payload=[])
        elif kind == "kernel_info_request":
            reply = _INFO
        socket.send_multipart(
            [*frames[:start], *self._message(parent, kind.replace("request", "reply"), reply)]
        )
        self._publish(parent, "status", {"execution_state": "idle"})
        return kind

    def _publish(self, parent: bytes, kind: str, content: dict[str, Any]) -> None:
        self._iopub.send_multipart([kind.encode(), *self._message(parent, kind, content)])

    def _message(self, parent: bytes, kind: str, content: dict[str, Any]) -> list[bytes]:
        header = {
            "msg_id": f"echo_{next(self._numbers)}",
            "msg_type": kind,
            "username": "echo",
            "session": "echo",
            "date": "2000-01-01T00:00:00.000000Z",
            "version": "5.4",
        }
        signed = [json.dumps(header).encode(), parent, b"{}", json.dumps(content).encode()]
        signature = self._key.copy()
        for frame in signed:
            signature.update(frame)
        return [_DELIMITER, signature.hexdigest().encode(), *signed]


if __name__ == "__main__":
    EchoKernel(json.loads(Path(sys.argv[1]).read_text())).serve()
