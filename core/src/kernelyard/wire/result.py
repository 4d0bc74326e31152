"""What came of a piece of code: its outputs in the form of a notebook, and its end. Pure: messages in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kernelyard.wire.message import Message

__all__ = ["ErrorOutput", "ExecutionResult", "Output", "OutputCollector", "to_output"]

Output = dict[str, Any]
"""An output as nbformat 4 has it: a dict with "output_type" and, by that, its fields."""


#: The types of message that `to_output` makes an output of.
OUTPUT_TYPES = frozenset(
    {"stream", "display_data", "execute_result", "error", "update_display_data", "clear_output"}
)


class ErrorOutput(NamedTuple):
    """An exception in the kernel: its name, its value as text, and the lines of the traceback."""

    ename: str
    evalue: str
    traceback: tuple[str, ...]


@dataclass(frozen=True)
class ExecutionResult:
    """What came of a piece of code.

    Attributes:
        outputs: its outputs, in the form of nbformat 4, as a notebook would show them at the end: consecutive texts
            of one stream are joined, updated displays are up to date, cleared outputs are gone.
        error: the exception that ended it, or None.
        execution_count: the kernel's number for it, or None if it gave none.
        reply: the kernel's reply message.
    """

    outputs: list[Output]
    error: ErrorOutput | None
    execution_count: int | None
    reply: Message = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether it ran to its end without an exception."""
        return self.error is None and bool(self.reply["content"].get("status") == "ok")

    @property
    def aborted(self) -> bool:
        """Whether the kernel dropped the code without running it, as it may after an interrupt or another's error."""
        return bool(self.reply["content"].get("status") in ("abort", "aborted"))

    @property
    def streams(self) -> dict[str, str]:
        """The text of each stream ("stdout", "stderr") that was written to."""
        pieces: dict[str, list[str]] = {}
        for output in self.outputs:
            if output["output_type"] == "stream":
                pieces.setdefault(output["name"], []).append(output["text"])
        return {name: "".join(texts) for name, texts in pieces.items()}

    @property
    def stdout(self) -> str:
        """What was written to standard output."""
        return self.streams.get("stdout", "")

    @property
    def stderr(self) -> str:
        """What was written to standard error."""
        return self.streams.get("stderr", "")

    @property
    def data(self) -> dict[str, Any]:
        """The value of the code, by MIME type; if it has none, the last thing displayed; else empty."""
        for kind in ("execute_result", "display_data"):
            for output in reversed(self.outputs):
                if output["output_type"] == kind:
                    return dict(output["data"])
        return {}


def to_output(message: Message) -> Output | None:
    """Return the output that a message on iopub carries, or None if it carries none.

    Besides the four types of nbformat there are "update_display_data" (data, metadata, display_id) and
    "clear_output" (wait), which change outputs that were there before.
    """
    kind, content = message["msg_type"], message["content"]
    if kind == "stream":
        return {
            "output_type": kind,
            "name": _text(content, "name") or "stdout",
            "text": _text(content, "text"),
        }
    if kind in ("display_data", "execute_result", "update_display_data"):
        output = {"output_type": kind, "data": _dict(content, "data"), "metadata": _dict(content, "metadata")}
        if kind == "execute_result":
            output["execution_count"] = _count(content)
        if kind == "update_display_data":
            output["display_id"] = _display_id(content)
        return output
    if kind == "error":
        return {"output_type": kind, **_error(content)._asdict(), "traceback": _lines(content)}
    if kind == "clear_output":
        return {"output_type": kind, "wait": bool(content.get("wait"))}
    return None


class OutputCollector:
    """Puts the messages of one execution together."""

    def __init__(self) -> None:
        self._outputs: list[Output] = []
        self._texts: dict[int, list[str]] = {}  # of the streams in _outputs, by index; joined at the end
        self._displays: dict[str, list[Output]] = {}
        self._clear_before_next = False
        self._error: ErrorOutput | None = None
        self._count: int | None = None

    def add(self, message: Message) -> None:
        """Take a message of iopub. What is not an output, or not well formed, changes nothing."""
        if message["msg_type"] == "execute_input":
            self._count = _count(message["content"])
        output = to_output(message)
        if output is None:
            return
        kind = output["output_type"]
        if kind == "clear_output":
            if output["wait"]:
                self._clear_before_next = True
            else:
                self._clear()
        elif kind == "update_display_data":
            for shown in self._displays.get(output["display_id"], ()):
                shown.update(data=output["data"], metadata=output["metadata"])
        else:
            if self._clear_before_next:
                self._clear()
            self._append(output, message["content"])

    def _append(self, output: Output, content: Mapping[str, Any]) -> None:
        kind = output["output_type"]
        if kind == "stream":
            last = self._outputs[-1] if self._outputs else None
            if last is None or last["output_type"] != "stream" or last["name"] != output["name"]:
                self._outputs.append(output)
            self._texts.setdefault(len(self._outputs) - 1, []).append(output["text"])
            return
        if kind == "error":
            self._error = _error(content)
        elif (display_id := _display_id(content)) != "":
            self._displays.setdefault(display_id, []).append(output)
        self._outputs.append(output)

    def _clear(self) -> None:
        self._clear_before_next = False
        self._outputs.clear()
        self._texts.clear()
        self._displays.clear()

    def result(self, reply: Message) -> ExecutionResult:
        """Return what came of it, given the kernel's reply."""
        for index, texts in self._texts.items():
            self._outputs[index]["text"] = "".join(texts)
        content = reply["content"]
        error = self._error
        if error is None and content.get("status") == "error":
            error = _error(content)
        count = _count(content)
        return ExecutionResult(
            outputs=self._outputs,
            error=error,
            execution_count=self._count if count is None else count,
            reply=reply,
        )


# The kernel says what is in a message: nothing about it is certain.


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return value if isinstance(value, str) else ""


def _dict(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _count(content: Mapping[str, Any]) -> int | None:
    value = content.get("execution_count")
    return value if isinstance(value, int) else None


def _display_id(content: Mapping[str, Any]) -> str:
    return _text(_dict(content, "transient"), "display_id")


def _lines(content: Mapping[str, Any]) -> list[str]:
    value = content.get("traceback")
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []


def _error(content: Mapping[str, Any]) -> ErrorOutput:
    return ErrorOutput(_text(content, "ename"), _text(content, "evalue"), tuple(_lines(content)))
