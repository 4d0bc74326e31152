"""What each request of protocol 5.4 says: pure functions from arguments to the content of a message.

The protocol: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kernelyard.types import Channel

__all__ = [
    "Request",
    "comm_info",
    "complete",
    "create_subshell",
    "debug",
    "delete_subshell",
    "execute",
    "history",
    "input_reply",
    "inspect",
    "interrupt",
    "is_complete",
    "kernel_info",
    "list_subshell",
    "shutdown",
]


class Request(NamedTuple):
    """The type and content of a message, and the channel that it goes to."""

    msg_type: str
    content: dict[str, Any]
    channel: Channel = "shell"


def execute(
    code: str,
    silent: bool = False,
    store_history: bool = True,
    user_expressions: Mapping[str, str] | None = None,
    allow_stdin: bool = True,
    stop_on_error: bool = True,
) -> Request:
    """Run code.

    Raises:
        ValueError: the code is not text, or the expressions are not a mapping from text to text.
    """
    expressions = {} if user_expressions is None else dict(user_expressions)
    for pair in expressions.items():
        if not all(isinstance(each, str) for each in pair):
            raise ValueError(f"user_expressions must map text to text, got {pair!r}")
    content = {
        "code": _text(code),
        "silent": silent,
        "store_history": store_history,
        "user_expressions": expressions,
        "allow_stdin": allow_stdin,
        "stop_on_error": stop_on_error,
    }
    return Request("execute_request", content)


def complete(code: str, cursor_pos: int | None = None) -> Request:
    """Ask for completions; the cursor is by default at the end."""
    position = len(_text(code)) if cursor_pos is None else cursor_pos
    return Request("complete_request", {"code": code, "cursor_pos": position})


def inspect(code: str, cursor_pos: int | None = None, detail_level: int = 0) -> Request:
    """Ask about the object at the cursor, which is by default at the end."""
    position = len(_text(code)) if cursor_pos is None else cursor_pos
    return Request("inspect_request", {"code": code, "cursor_pos": position, "detail_level": detail_level})


def history(raw: bool = True, output: bool = False, hist_access_type: str = "range", **more: Any) -> Request:
    """Ask for code that was run before.

    Raises:
        ValueError: the kind of access is not one of the protocol's.
    """
    if hist_access_type not in ("range", "tail", "search"):
        raise ValueError(f"hist_access_type must be 'range', 'tail' or 'search', got {hist_access_type!r}")
    if hist_access_type == "range":
        more = {"session": 0, "start": 0, **more}
    return Request(
        "history_request", {"raw": raw, "output": output, "hist_access_type": hist_access_type, **more}
    )


def is_complete(code: str) -> Request:
    """Ask whether code is complete, or goes on in the next line."""
    return Request("is_complete_request", {"code": _text(code)})


def kernel_info() -> Request:
    """Ask which kernel this is."""
    return Request("kernel_info_request", {})


def comm_info(target_name: str | None = None) -> Request:
    """Ask which comms are open: all, or those of one target."""
    return Request("comm_info_request", {} if target_name is None else {"target_name": target_name})


def shutdown(restart: bool = False) -> Request:
    """Ask the kernel to end itself."""
    return Request("shutdown_request", {"restart": restart}, "control")


def interrupt() -> Request:
    """Ask the kernel to interrupt the code that runs."""
    return Request("interrupt_request", {}, "control")


def debug(content: Mapping[str, Any]) -> Request:
    """Pass on a request of the Debug Adapter Protocol."""
    return Request("debug_request", dict(content), "control")


def create_subshell() -> Request:
    """Ask for a new subshell (JEP 91)."""
    return Request("create_subshell_request", {}, "control")


def delete_subshell(subshell_id: str) -> Request:
    """Ask to delete a subshell."""
    return Request("delete_subshell_request", {"subshell_id": subshell_id}, "control")


def list_subshell() -> Request:
    """Ask which subshells there are."""
    return Request("list_subshell_request", {}, "control")


def input_reply(value: str) -> Request:
    """Answer the kernel's question for input."""
    return Request("input_reply", {"value": value}, "stdin")


def _text(code: str) -> str:
    if not isinstance(code, str):
        raise ValueError(f"code must be text, got {type(code).__name__}")  # noqa: TRY004 - the error that programs know
    return code
