"""The group of all commands, and what is the same for each: how it fails, and with which exit status."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from kernelyard.cli._terminal import USAGE, CommandError, exit_code_of, tell
from kernelyard.errors import KernelyardError

__all__ = ["app", "run_app"]

#: The exit statuses of a shell for a command that was ended by SIGINT, and by SIGPIPE.
INTERRUPTED, OUTPUT_CLOSED = 130, 141

_COMMANDS = ("run", "plan", "specs", "provisioners", "completion")


class LazyGroup(click.Group):
    """Imports the module of a command when the command is asked for, so that the others cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, those first that are used most."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command, or None if there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"kernelyard.cli.{cmd_name}").command
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`kernelyard COMMAND --help` says more about a command.",
)
@click.version_option(package_name="kernelyard-core", message="%(prog)s %(version)s")
def app() -> None:
    """Run code on Jupyter kernels, wherever they are, and look after kernelspecs and provisioners."""


def run_app(args: Sequence[str] | None = None) -> int:
    """Run a command, tell its failure, and return its exit status.

    Args:
        args: the words after the program's name; None = those of this process.
    """
    _fill_standard_streams()
    _log_to_stderr()
    try:
        # A command returns its exit status, or None for 0; so does click itself after --help.
        status: Any = app.main(args, prog_name="kernelyard", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KernelyardError as error:
        tell(error)
        return exit_code_of(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at its end: let that go nowhere.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except OSError as error:
        tell(CommandError(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
        return USAGE
    return 0 if status is None else int(status)


def _fill_standard_streams() -> None:
    """Put the null device in the place of standard streams that were closed, as in `kernelyard run >&-`.

    Otherwise the next socket gets the number of the stream, and what is written to the stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - it stays open


class _OneLine(logging.Formatter):
    """Says what was logged in a line, with an exception's name and value instead of its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        why = "" if error is None else f": {type(error).__name__}: {error}"
        return f"{record.levelname.lower()}: {record.getMessage()}{why}"


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
