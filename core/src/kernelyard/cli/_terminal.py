"""What goes to a person: errors, tables, and colours where they are wanted."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import click

from kernelyard.errors import KernelSpecError, KernelyardError, ProvisionerError

__all__ = [
    "NOT_STARTED",
    "USAGE",
    "CommandError",
    "exit_code_of",
    "print_json",
    "print_table",
    "say",
    "strip_colours",
    "tell",
    "wants_colours",
]

#: The exit status of a command that was called wrongly, or that names something which cannot be used.
USAGE = 2
#: The exit status if the kernel could not be started, or died.
NOT_STARTED = 3

# Control sequences (colours are some of them), operating system commands, and the short escapes, of ECMA-48.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^_`-~])")


def strip_colours(text: str) -> str:
    """Return a text without terminal escapes."""
    return _ESCAPES.sub("", text)


def wants_colours(stream: TextIO) -> bool:
    """Return whether colours may be written to a stream: it is a terminal, and NO_COLOR is empty or not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def say(text: str) -> None:
    """Tell the person something on standard error; nobody being there is no error."""
    with suppress(OSError):
        click.echo(text, err=True, color=wants_colours(sys.stderr))


def tell(error: KernelyardError) -> None:
    """Tell the person of an error on standard error: what happened, the kernel's last lines, what to do."""
    say(_readable(error))


class CommandError(KernelyardError):
    """A command cannot do what it was asked to, for a reason that is its own."""


def exit_code_of(error: KernelyardError) -> int:
    """Return the exit status of a command that ends with this error."""
    return USAGE if isinstance(error, CommandError | KernelSpecError | ProvisionerError) else NOT_STARTED


def _readable(error: KernelyardError) -> str:
    lines = [f"{click.style('error:', fg='red', bold=True)} {error.message}"]
    hint = error.hint
    if error.exit_status is not None:
        details = error.exit_status.details()
        lines += [details] if details else []
        hint = hint or error.exit_status.hint
    if hint:
        lines.append(f"{click.style('hint:', fg='cyan')} {hint}")
    return "\n".join(lines)


def print_json(value: Any) -> None:
    """Print a value as JSON, over several lines."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: on a terminal as wide as that, otherwise with each row in one line, however long."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    for name in columns:
        table.add_column(name, overflow="fold")  # a path that is cut short is of no use
    for row in rows:
        table.add_row(*(Text(cell) if terminal else Text(" ".join(cell.split("\n"))) for cell in row))
    console = Console(width=None if terminal else 100_000, highlight=False)
    if terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
