"""Which message belongs to which request: exchanges, found by the id of the request in a message's parent header."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kernelyard.types import Channel
from kernelyard.wire.message import Message

__all__ = ["Exchange", "Exchanges"]


class Exchange:
    """One request, and what comes back for it.

    It ends when its reply has come, and, if its outputs are wanted, when iopub has said that the kernel is idle
    again: the two come on different sockets, in any order.

    Args:
        owner: the exchanges to which it belongs.
        request: the request.
        channel: the channel on which the reply comes.
        on_output: called with each message on iopub, the last "idle" included; None = they are not wanted, and go
            where messages go that nobody waits for.
        on_input: the same for requests for input on stdin.
        on_reply: called with the reply, which may come before the last output.
        on_end: called once when `done` is.
        timeout: seconds; None = no limit.

    Attributes:
        done: the reply, or why there is none. Cancelling it gives the exchange up.
        epoch: which of the kernels that the client has followed it was sent to, counted from 0.
    """

    __slots__ = (
        "_channel",
        "_idle",
        "_on_end",
        "_on_input",
        "_on_output",
        "_on_reply",
        "_owner",
        "_reply",
        "_timer",
        "done",
        "epoch",
        "msg_id",
        "request",
    )

    def __init__(
        self,
        owner: Exchanges,
        request: Message,
        channel: Channel,
        *,
        on_output: Callable[[Message], object] | None = None,
        on_input: Callable[[Message], object] | None = None,
        on_reply: Callable[[Message], object] | None = None,
        on_end: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.msg_id: str = request["msg_id"]
        self.request = request
        self.done: asyncio.Future[Message] = loop.create_future()
        self.epoch = owner.epoch
        self._owner = owner
        self._channel = channel
        self._on_output = on_output
        self._on_input = on_input
        self._on_reply = on_reply
        self._on_end = on_end
        self._reply: Message | None = None
        self._idle = on_output is None
        self._timer = None if timeout is None else loop.call_later(max(timeout, 0), self._expire, timeout)

    def offer(self, channel: Channel, message: Message) -> bool:
        """Take a message whose parent is the request; return whether it is wanted."""
        if channel == "iopub":
            if self._on_output is None:
                return False
            if message["msg_type"] == "status" and message["content"].get("execution_state") == "idle":
                self._idle = True
            self._tell(self._on_output, message)
        elif channel == "stdin":
            if self._on_input is None:
                return False
            self._tell(self._on_input, message)
        elif channel == self._channel and self._reply is None:
            if self.done.done() and self._on_output is None:
                self._owner.forget(self)
                return False
            self._reply = message
            if self._on_reply is not None:
                self._tell(self._on_reply, message)
        else:
            return False
        if self._idle and self._reply is not None:
            self._owner.forget(self)
            self._finish(self._reply)
        return True

    def fail(self, error: BaseException) -> None:
        """End it with an error, and take no more messages."""
        self._owner.forget(self)
        self._finish(error)

    def abandon(self) -> None:
        """Give it up. Outputs that still come are dropped; a late reply to a plain request is left to the program."""
        if not self.done.done():
            self.done.cancel()
        self._close()

    def _finish(self, outcome: Message | BaseException) -> None:
        if not self.done.done():
            if isinstance(outcome, BaseException):
                self.done.set_exception(outcome)
                self.done.exception()  # nobody need look: several requests may wait for one kernel's first answer
            else:
                self.done.set_result(outcome)
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._on_output is None:
            self._owner.forget(self)
        else:
            self._on_output = _drop
        self._on_input = None if self._on_input is None else _drop
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()

    def _expire(self, timeout: float) -> None:
        self._finish(TimeoutError(f"{self.what} was not over within {timeout:g} s"))

    @property
    def what(self) -> str:
        """The request, for people: its type, and the beginning of its code."""
        code = self.request["content"].get("code")
        return f"{self.request['msg_type']} {_shortened(code)!r}" if code else str(self.request["msg_type"])

    def _tell(self, hook: Callable[[Message], object], message: Message) -> None:
        try:
            hook(message)
        except Exception as error:  # noqa: BLE001 - whatever a program's hook raises is raised where it waits
            self._finish(error)


class Exchanges:
    """The exchanges of a client that are not over.

    Attributes:
        epoch: how many times the kernel was replaced by another.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._open: dict[str, Exchange] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, request: Message, channel: Channel, **how: Any) -> Exchange:
        """Expect answers to a request; call it before the request is sent. The arguments are those of `Exchange`."""
        exchange = self._open[request["msg_id"]] = Exchange(self, request, channel, **how)
        return exchange

    def offer(self, channel: Channel, message: Message) -> bool:
        """Give a message to the exchange that it belongs to; return False if nobody waits for it."""
        parent = message["parent_header"].get("msg_id")
        exchange = self._open.get(parent)
        return exchange is not None and exchange.offer(channel, message)

    def is_waiting(self, msg_id: object) -> bool:
        """Return whether somebody waits for the answers to the request with this id."""
        exchange = self._open.get(msg_id) if isinstance(msg_id, str) else None
        return exchange is not None and not exchange.done.done()

    def forget(self, exchange: Exchange) -> None:
        """Give no more messages to an exchange."""
        self._open.pop(exchange.msg_id, None)

    def waiting(self, epoch: int) -> list[Exchange]:
        """Return those that somebody still waits for, and that were sent in this epoch or before."""
        return [each for each in self._open.values() if not each.done.done() and each.epoch <= epoch]

    def prune(self) -> None:
        """Forget those that nobody waits for any more: the kernel that might still have answered has ended."""
        self._open = {msg_id: each for msg_id, each in self._open.items() if not each.done.done()}

    def clear(self, make_error: Callable[[Exchange], BaseException]) -> None:
        """End all of them with an error."""
        for exchange in list(self._open.values()):
            exchange.fail(make_error(exchange))


def _drop(message: Message) -> None:
    """Take a message that nobody wants any more."""


def _shortened(code: str, length: int = 60) -> str:
    return code if len(code) <= length else code[: length - 1] + "…"
