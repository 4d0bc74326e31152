"""Where the outputs of `kernelyard run` go: as text for people and pipes, or as a line of JSON each for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from kernelyard.cli._rendering import Renderer
from kernelyard.cli._streams import Writer
from kernelyard.cli._terminal import strip_colours, wants_colours
from kernelyard.wire.result import Output

__all__ = ["JsonScreen", "Screen", "TextScreen"]


class Screen(Protocol):
    """Takes outputs as they are produced. Both methods raise BrokenPipeError when nobody reads them any more."""

    async def show(self, output: Output) -> None:
        """Show an output."""

    async def finish(self, summary: Mapping[str, Any]) -> None:
        """Be told how it all ended."""


class TextScreen:
    """Standard output and standard error."""

    def __init__(self) -> None:
        self._writers = {"stdout": Writer(sys.stdout), "stderr": Writer(sys.stderr)}
        self._colours = {"stdout": wants_colours(sys.stdout), "stderr": wants_colours(sys.stderr)}
        self._renderer = Renderer()

    async def show(self, output: Output) -> None:
        """Write an output's text. Of what the kernel wrote, colours go to terminals only."""
        piece = self._renderer.render(output)
        if piece is None:
            return
        faithful = piece.is_program or self._colours[piece.stream]
        text = piece.text if faithful else strip_colours(piece.text)
        await self._writers[piece.stream].write(text)

    async def finish(self, summary: Mapping[str, Any]) -> None:
        """Say nothing: the exit status tells it."""


class JsonScreen:
    """Standard output with one JSON object a line."""

    def __init__(self) -> None:
        self._writer = Writer(sys.stdout)

    async def show(self, output: Output) -> None:
        """Write an output."""
        await self._writer.write(json.dumps(output, ensure_ascii=False) + "\n")

    async def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the last line."""
        await self._writer.write(json.dumps(summary, ensure_ascii=False) + "\n")
