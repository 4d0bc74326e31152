"""What `execute_interactive` does with outputs and questions if the program does not say: the terminal."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from kernelyard.wire.message import Message

__all__ = ["SHOWN", "ask", "in_daemon_thread", "output_hook", "show"]

P = ParamSpec("P")
T = TypeVar("T")

#: The types of message that `show` has something to show of.
SHOWN = frozenset({"stream", "display_data", "execute_result", "error"})


def show(message: Message) -> None:
    """Write an output to the terminal, as plain text; what is not an output is passed over."""
    kind, content = message["msg_type"], message["content"]
    if kind == "stream":
        stream = sys.stderr if content.get("name") == "stderr" else sys.stdout
        stream.write(str(content.get("text", "")))
        stream.flush()
    elif kind in ("display_data", "execute_result"):
        data = content.get("data")
        text = data.get("text/plain", "") if isinstance(data, dict) else ""
        sys.stdout.write(f"{text}\n" if text else "")
        sys.stdout.flush()
    elif kind == "error":
        traceback = content.get("traceback")
        lines = traceback if isinstance(traceback, list) else []
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def output_hook() -> Callable[[Message], object]:
    """Return what shows outputs where this program runs: `show`, or in a Jupyter kernel its own rich display."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        shell = get_ipython()
        if getattr(shell, "kernel", None) is not None:
            return partial(_show_in_kernel, shell.display_pub)
    return show


def _show_in_kernel(publisher: Any, message: Message) -> None:
    if message["msg_type"] in ("display_data", "execute_result", "error"):
        publisher.session.send(
            publisher.pub_socket, message["msg_type"], message["content"], parent=publisher.parent_header
        )
    else:
        show(message)


def ask(message: Message) -> str:
    """Ask the person at the terminal what the kernel asks; an end of file is the character for it.

    Raises:
        KeyboardInterrupt: the person interrupts.
    """
    content = message["content"]
    prompt = content.get("prompt")
    prompt = prompt if isinstance(prompt, str) else ""
    try:
        if content.get("password"):
            import getpass

            return getpass.getpass(prompt)
        return input(prompt)
    except EOFError:
        return "\x04"


async def in_daemon_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that may block for ever, as a question does that nobody answers.

    It gets a daemon thread of its own, so that neither a cancelled caller nor the end of the program waits for it.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def deliver(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # without an error it is a T

    def call() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = function(*args, **kwargs)
        except BaseException as raised:  # noqa: BLE001 - raised again where the result is awaited
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, value, error)

    threading.Thread(target=call, name="kernelyard-call", daemon=True).start()
    return await result
