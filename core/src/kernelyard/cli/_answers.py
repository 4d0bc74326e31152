"""Answers to what code in a kernel asks (`input()`), from standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

from kernelyard.cli._streams import LineReader
from kernelyard.cli._terminal import say
from kernelyard.wire.message import Message

__all__ = ["Answers"]

#: What frontends answer when the person ends the input; IPython's kernel raises EOFError for it.
END_OF_INPUT = "\x04"


class Answers:
    """Reads an answer from standard input for each question: a person types it, or it is the next line of a pipe.

    Args:
        stream: standard input.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._reader = LineReader(stream)
        self._is_terminal = stream.isatty()

    async def answer(self, question: Message) -> str | None:
        """Return the answer to an input_request, or None if standard input is at its end.

        A person sees the prompt, on standard error, and does not see a password.
        """
        if not self._is_terminal:
            return await self._reader.line()
        prompt = question["content"].get("prompt")
        secret = bool(question["content"].get("password"))
        # Nothing is shown from before the prompt on: a quick person, or a program, answers at once.
        with _no_echo(self._stream) if secret else nullcontext():
            sys.stderr.write(prompt if isinstance(prompt, str) else "")
            sys.stderr.flush()
            line = await self._reader.line()
        if secret:
            say("")  # the end of the line that was not shown
        return END_OF_INPUT if line is None else line


@contextmanager
def _no_echo(stream: TextIO) -> Iterator[None]:
    """Do not show what is typed at a terminal."""
    if sys.platform == "win32":  # a console there has no such switch
        yield
        return
    import termios

    before = termios.tcgetattr(stream)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    # What was typed ahead counts, so it is not flushed.
    termios.tcsetattr(stream, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)
