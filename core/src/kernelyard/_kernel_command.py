"""The command and the environment of a kernel, from what its kernelspec says: pure functions."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from string import Template

__all__ = ["format_argv", "substitute_env"]

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")


def substitute_env(spec_env: Mapping[str, str], base_env: Mapping[str, str]) -> dict[str, str]:
    """Return a kernelspec's variables with `$NAME` and `${NAME}` in their values taken from `base_env`.

    A name that `base_env` does not have stays as it is written; `$$` becomes `$`. Variables of `spec_env` do not see
    each other.

    Args:
        spec_env: `env` of the kernelspec.
        base_env: the environment that the kernel would have without it.
    """
    return {name: Template(value).safe_substitute(base_env) for name, value in spec_env.items()}


def format_argv(argv: Sequence[str], values: Mapping[str, object]) -> list[str]:
    """Return a kernel's command with its placeholders filled in.

    `python`, `python3` or `python3.X` as the first word, X being this interpreter's, means this interpreter: the one
    on PATH may belong to another environment.

    Args:
        argv: the command as the kernelspec has it, with the caller's extra arguments.
        values: what to write for `{name}`. `{prefix}` is `sys.prefix` if it is not here; other placeholders that are
            not here stay as they are, `{connection_file}` too.
    """
    known = {"prefix": sys.prefix, **values}
    command = list(argv)
    if command and command[0] in _this_python() and sys.executable:
        command[0] = sys.executable
    return [_PLACEHOLDER.sub(lambda match: str(known.get(match[1], match[0])), word) for word in command]


def _this_python() -> set[str]:
    major, minor = sys.version_info[:2]
    names = {"python", f"python{major}", f"python{major}.{minor}"}
    return names | {f"{name}.exe" for name in names} if sys.platform == "win32" else names
