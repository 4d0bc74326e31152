"""How an output looks on a terminal or in a pipe. Pure: outputs in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from kernelyard.wire.result import Output

__all__ = ["Piece", "Renderer", "best_text"]

#: The forms that read well as text, the best first.
_TEXTS = ("text/plain", "text/markdown", "text/latex", "application/json", "text/html", "image/svg+xml")


class Piece(NamedTuple):
    """A piece of text for one of the two streams.

    Attributes:
        stream: where it goes.
        text: what goes there.
        is_program: whether the program wrote it, byte for byte, and not the kernel on its behalf.
    """

    stream: Literal["stdout", "stderr"]
    text: str
    is_program: bool = False


class Renderer:
    """Turns outputs into text, one after the other."""

    def __init__(self) -> None:
        self._last_update: tuple[str, str] | None = None

    def render(self, output: Output) -> Piece | None:
        """Return what an output says as text; None if that is nothing.

        A display that changes is said again, if its text has changed. What was said is not taken back, so
        "clear_output" says nothing.
        """
        kind = output["output_type"]
        if kind == "stream":
            stream: Literal["stdout", "stderr"] = "stderr" if output["name"] == "stderr" else "stdout"
            return Piece(stream, output["text"], is_program=True) if output["text"] else None
        if kind == "error":
            return Piece("stderr", _error_text(output) + "\n")
        if kind not in ("display_data", "execute_result", "update_display_data"):
            return None
        text = best_text(output["data"])
        if kind == "update_display_data":
            update = (output["display_id"], text)
            if update == self._last_update:
                return None
            self._last_update = update
        return Piece("stdout", text + "\n") if text else None


def best_text(data: Mapping[str, Any]) -> str:
    """Return the form in a MIME bundle that reads best as text; if there is none, the names of those that there are."""
    for form in _TEXTS:
        value = data.get(form)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and form != "application/json":  # a text in lines, as in a notebook file
            return "".join(map(str, value))
        if value is not None:
            return json.dumps(value, indent=2, ensure_ascii=False)
    return f"[{', '.join(map(str, data))}]" if data else ""


def _error_text(output: Output) -> str:
    if output["traceback"]:
        return "\n".join(output["traceback"])
    if output["ename"]:
        return f"{output['ename']}: {output['evalue']}"
    return f"error: {output['evalue']}"  # bash_kernel gives the exit status of the command, and no name
