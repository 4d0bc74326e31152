"""The command `kernelyard`: one module for each of its commands, loaded when it is used."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process, and exit with its status."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"error: the kernelyard command needs {' and '.join(missing)}.\n"
            "hint: pip install 'kernelyard-core[cli]'\n"
        )
        raise SystemExit(2)
    from kernelyard.cli._app import run_app

    raise SystemExit(run_app())
