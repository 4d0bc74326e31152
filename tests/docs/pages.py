"""The pages of the documentation, their code blocks and their links: pure functions over Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "ROOT", "Block", "anchors", "blocks", "headings", "links", "matches", "pages", "shown"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>.*)$")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")
_FROM = re.compile(r"<!-- from: (?P<file>\S+) -->")
_OUTPUT = "<!-- output -->"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the fence.
        text: its lines.
        line: the number of its first line in the page, from 1.
        above: the last line above it that is not empty.
    """

    language: str
    text: str
    line: int
    above: str

    @property
    def not_run(self) -> str | None:
        """Why it is not run, or None if it is."""
        found = _NOT_RUN.fullmatch(self.above)
        return None if found is None else found["reason"]

    @property
    def file(self) -> str | None:
        """The file, relative to the repository, that it is a part of; None if it is a program of its own."""
        found = _FROM.fullmatch(self.above)
        return None if found is None else found["file"]

    @property
    def is_output(self) -> bool:
        """Whether it is what the block before it prints."""
        return self.above == _OUTPUT


def pages() -> list[Path]:
    """Return every page that people read."""
    at_root = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "core/README.md")]
    built = (path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
    return [*at_root, *sorted(built)]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found: list[Block] = []
    above, opened = "", None
    lines: list[str] = []
    for number, line in enumerate(page.splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            opened, start, lines = fence, number + 1, []
        elif opened is not None and fence is not None and fence["fence"] == opened["fence"]:
            found.append(Block(opened["info"].strip(), "\n".join(lines) + "\n", start, above))
            opened, above = None, ""
        elif opened is not None:
            lines.append(line[len(opened["indent"]) :])
        elif line.strip():
            above = line.strip()
    return found


def shown(page: str, name: str) -> str:
    """Return the block below the comment that says that a test of this name makes it."""
    return next(b.text for b in blocks(page) if re.fullmatch(rf"<!-- shown by .*: {name} -->", b.above))


def matches(printed: str, expected: str) -> bool:
    """Whether a text is as expected, where `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def _prose(page: str) -> Iterator[str]:
    inside = None
    for line in page.splitlines():
        fence = _FENCE.match(line)
        if fence is not None:
            inside = fence["fence"] if inside is None else (None if fence["fence"] == inside else inside)
        elif inside is None:
            yield line


def headings(page: str) -> list[str]:
    """Return the headings of a page, as they are written."""
    return [line.lstrip("#").strip() for line in _prose(page) if re.match(r"#{1,6} ", line)]


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def links(page: str) -> list[str]:
    """Return the targets of a page's links that lead into this repository."""
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", "\n".join(_prose(page)))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]
