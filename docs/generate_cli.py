"""Writes the help of each command into docs/reference/cli.md, between the prose that people write.

``python docs/generate_cli.py`` brings the page up to date; with ``--check`` it changes nothing, and fails if the page
is stale or leaves a command out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from kernelyard.cli._app import app

PAGE = Path(__file__).parent / "reference" / "cli.md"

#: The characters in a line of help.
WIDTH = 96

#: A help in the page: the mark that names the command, and the block behind it.
_HELP = re.compile(r"<!-- help: (?P<name>[a-z -]+) -->\n+```text\n.*?^```$", re.DOTALL | re.MULTILINE)


def helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the name and the help of a command and of all below it."""
    context = click.Context(
        command, parent, info_name=name.rpartition(" ")[2], terminal_width=WIDTH, **command.context_settings
    )
    yield name, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None:
                yield from helps(below, f"{name} {each}", context)


def updated(page: str) -> str:
    """Return the page with the help of today.

    Raises:
        ValueError: it has no place for some command, or one for a command that does not exist.
    """
    known = dict(helps(app, "kernelyard"))
    named = {match["name"] for match in _HELP.finditer(page)}
    if named != set(known):
        raise ValueError(
            f"missing in the page: {sorted(set(known) - named)}; unknown: {sorted(named - set(known))}"
        )
    return _HELP.sub(
        lambda match: f"<!-- help: {match['name']} -->\n\n```text\n{known[match['name']]}\n```", page
    )


def main() -> int:
    """Update the page, or check it, and return the exit status."""
    before = PAGE.read_text("utf-8")
    after = updated(before)
    if "--check" in sys.argv[1:]:
        if before != after:
            print(f"{PAGE} is stale: run python {Path(__file__).name}")
        return int(before != after)
    PAGE.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
