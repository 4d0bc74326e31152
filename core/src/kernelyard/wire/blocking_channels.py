"""The channels of a blocking client: those of the async client, asked from any thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from kernelyard.wire.channels import MessageChannel
from kernelyard.wire.heartbeat import HeartbeatChannel
from kernelyard.wire.message import Message

__all__ = ["BlockingHeartbeat", "BlockingMessageChannel"]

T = TypeVar("T")


class Caller(Protocol):
    """Runs an async function on the client's loop, and returns its result."""

    def __call__(self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any) -> T: ...


async def _act(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


class BlockingMessageChannel:
    """The shell, control, stdin or iopub channel of a blocking client.

    Args:
        channel: the async client's.
        call: runs an async function on its loop.
    """

    def __init__(self, channel: MessageChannel, call: Caller) -> None:
        self._channel = channel
        self._call = call

    def __repr__(self) -> str:
        return repr(self._channel)

    def start(self) -> None:
        """Connect. A channel that runs goes on as it is."""
        self._call(_act, self._channel.start)

    def stop(self) -> None:
        """Disconnect. Messages that have been received stay in the queue. May be called twice."""
        if self._channel.is_alive():
            self._call(_act, self._channel.stop)

    close = stop

    def is_alive(self) -> bool:
        """Return whether the channel runs; that says nothing about the kernel."""
        return self._channel.is_alive()

    def send(self, msg: Message) -> None:
        """Send a message, from `Session.msg`, without waiting for the kernel to be there.

        Raises:
            KernelStateError: the channel is stopped.
        """
        self._call(_act, self._channel.send, msg)

    def get_msg(self, timeout: float | None = None) -> Message:
        """Return the next message.

        Args:
            timeout: seconds to wait for one; 0 = only if it is there already, None = no limit.

        Raises:
            queue.Empty: none came in that time.
            KernelStateError: the channel is stopped, and no message is left.
        """
        return self._call(self._channel.get_msg, timeout)

    def get_msgs(self) -> list[Message]:
        """Return all messages that are there, without waiting."""
        return self._call(self._channel.get_msgs)

    def msg_ready(self) -> bool:
        """Return whether a message is there."""
        return self._call(self._channel.msg_ready)


class BlockingHeartbeat:
    """The heartbeat channel of a blocking client.

    Args:
        channel: the async client's.
        call: runs an async function on its loop.
    """

    def __init__(self, channel: HeartbeatChannel, call: Caller) -> None:
        self._channel = channel
        self._call = call

    @property
    def time_to_dead(self) -> float:
        """Seconds after which a kernel that does not answer counts as dead; may be set."""
        return self._channel.time_to_dead

    @time_to_dead.setter
    def time_to_dead(self, seconds: float) -> None:
        self._channel.time_to_dead = seconds

    def start(self) -> None:
        """Connect. A channel that runs goes on as it is."""
        self._call(_act, self._channel.start)

    def stop(self) -> None:
        """Disconnect. May be called twice."""
        if self._channel.is_alive():
            self._call(_act, self._channel.stop)

    close = stop

    def is_alive(self) -> bool:
        """Return whether the channel runs; for the kernel, ask `is_beating` or `beat`."""
        return self._channel.is_alive()

    def pause(self) -> None:
        """Let `is_beating` say no until `unpause`."""
        self._channel.pause()

    def unpause(self) -> None:
        """Undo `pause`."""
        self._channel.unpause()

    def is_beating(self) -> bool:
        """Return whether the kernel answered the last ping, without waiting; see the async client's channel."""
        return self._channel.is_alive() and self._call(_act, self._channel.is_beating)

    def beat(self, timeout: float | None = None) -> bool:
        """Ping the kernel now, and return whether it answers.

        Args:
            timeout: seconds to wait; None = `time_to_dead`.
        """
        return self._channel.is_alive() and self._call(self._channel.beat, timeout)
