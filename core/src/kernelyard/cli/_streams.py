"""Standard input and output from an event loop, without ever blocking it: signals get through all the time."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from typing import TextIO

__all__ = ["LineReader", "Writer"]

#: Bytes that a pipe takes at once if it takes any (PIPE_BUF of POSIX).
_AT_ONCE = 512 if sys.platform == "darwin" else 4096


class Writer:
    """Writes text to a stream, at once and unbuffered.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._fd = stream.fileno()
        self._encoding = stream.encoding

    async def write(self, text: str) -> None:
        """Write a text, and return when the other side has room for all of it.

        Raises:
            BrokenPipeError: nobody reads it any more.
            OSError: it cannot be written, such as to a full disk.
        """
        left = memoryview(text.encode(self._encoding, "backslashreplace"))
        while left:
            if not _has_room(self._fd):
                await _until_room(self._fd)
            try:
                left = left[os.write(self._fd, left[:_AT_ONCE]) :]
            except BlockingIOError:
                await _until_room(self._fd)


def _has_room(fd: int) -> bool:
    if sys.platform == "win32":  # select() knows only sockets there
        return True
    return bool(select.select([], [fd], [], 0)[1])


async def _until_room(fd: int) -> None:
    loop = asyncio.get_running_loop()
    room = asyncio.Event()
    loop.add_writer(fd, room.set)
    try:
        await room.wait()
    finally:
        loop.remove_writer(fd)


class LineReader:
    """Reads a stream, of which nothing was read before, line by line.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._fd = stream.fileno()
        self._encoding = stream.encoding
        self._held = b""

    async def line(self) -> str | None:
        """Return the next line without its end, or None at the end of the stream.

        A terminal is at its end whenever the person says so (Ctrl-D), and may go on after that.

        Raises:
            OSError: it cannot be read.
        """
        while b"\n" not in self._held:
            more = await _read(self._fd)
            if not more:
                if not self._held:
                    return None
                break
            self._held += more
        line, _, self._held = self._held.partition(b"\n")
        return line.removesuffix(b"\r").decode(self._encoding, "replace")


async def _read(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except PermissionError:  # epoll takes no files: they are always ready
        return os.read(fd, 65536)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
    return os.read(fd, 65536)
