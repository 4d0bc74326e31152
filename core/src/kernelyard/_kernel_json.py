"""Read a kernel.json and say what is wrong with it: all of it, in words that name the file, the key and the cure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from kernelyard.errors import InvalidKernelSpecError

__all__ = ["KERNEL_JSON_LIMIT", "provisioner_problems", "raise_if_wrong", "read_kernel_json"]

#: Bytes that a kernel.json may have at most; usual ones have some 500.
KERNEL_JSON_LIMIT = 1 << 20

_TEXT_KEYS = ("name", "display_name", "language", "mimetype", "kernel_protocol_version")
_INTERRUPT_MODES = ("signal", "message")
_TEXT_SHOWN = 60  # characters of a wrong value or name that a message repeats
_PROBLEMS_SHOWN = 20


def read_kernel_json(path: Path) -> dict[str, Any]:
    """Return the content of a kernel.json that can be used.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidKernelSpecError: it cannot be read, is not JSON, or has keys that cannot be used.
    """
    content = _parse(path, _read(path))
    raise_if_wrong(str(path), _problems(content))
    usable: dict[str, Any] = content
    return usable


def raise_if_wrong(source: str, problems: Iterable[str]) -> None:
    """Raise one error that has the problems, the first twenty if there are more.

    Raises:
        InvalidKernelSpecError: there is at least one.
    """
    lines = list(islice(problems, _PROBLEMS_SHOWN))
    if len(lines) == 1:
        raise InvalidKernelSpecError(f"{source} cannot be used: {lines[0]}.")
    if lines:
        raise InvalidKernelSpecError(
            "\n".join([f"{source} cannot be used:", *(f"  {line}" for line in lines)])
        )


def provisioner_problems(metadata: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong with the provisioner that the metadata of a kernelspec names, if it names one."""
    if "kernel_provisioner" not in metadata:
        return
    stanza, key = metadata["kernel_provisioner"], "metadata.kernel_provisioner"
    if not isinstance(stanza, dict):
        yield _wrong(key, stanza, 'an object, such as {"provisioner_name": "docker", "config": {}}')
        return
    if "provisioner_name" not in stanza:
        yield f'{key}.provisioner_name is missing; it is the name of a provisioner, such as "local"'
    elif not isinstance(stanza["provisioner_name"], str) or not stanza["provisioner_name"]:
        yield _wrong(f"{key}.provisioner_name", stanza["provisioner_name"], 'a name, such as "local"')
    for name in ("config", "resources"):
        if not isinstance(stanza.get(name, {}), dict):
            yield _wrong(f"{key}.{name}", stanza[name], "an object")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(KERNEL_JSON_LIMIT + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidKernelSpecError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > KERNEL_JSON_LIMIT:
        raise InvalidKernelSpecError(
            f"{path} cannot be used: it is larger than {KERNEL_JSON_LIMIT} bytes, and a kernel.json has some 500."
        )
    return content


def _parse(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))  # some editors put a byte order mark first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidKernelSpecError(f"{path} is not UTF-8 text: line {line}, byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise InvalidKernelSpecError(
            f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        raise InvalidKernelSpecError(f"{path} cannot be used: {error}.") from error


def _problems(content: object) -> Iterator[str]:
    if not isinstance(content, dict):
        yield _wrong("the content", content, 'an object, such as {"argv": [...], "display_name": "..."}')
        return
    if "argv" not in content:
        yield 'argv is missing; it is the command as a list, such as ["python3", "-m", "ipykernel_launcher", ...]'
    else:
        yield from _argv_problems(content["argv"])
    for key in _TEXT_KEYS:
        if not isinstance(content.get(key, ""), str):
            yield _wrong(key, content[key], "a string")
    yield from _env_problems(content.get("env", {}))
    mode = content.get("interrupt_mode", "signal")
    if not isinstance(mode, str) or mode.lower() not in _INTERRUPT_MODES:
        yield _wrong("interrupt_mode", mode, " or ".join(f'"{accepted}"' for accepted in _INTERRUPT_MODES))
    metadata = content.get("metadata", {})
    if isinstance(metadata, dict):
        yield from provisioner_problems(metadata)
    else:
        yield _wrong("metadata", metadata, "an object")


def _argv_problems(argv: object) -> Iterator[str]:
    if not isinstance(argv, list) or not argv:
        yield _wrong("argv", argv, "a list of strings with at least the name of a command")
        return
    for index, word in enumerate(argv):
        if not isinstance(word, str):
            yield _wrong(f"argv[{index}]", word, "a string")
        elif not _fits_a_process(word) or (index == 0 and not word):
            yield f"argv[{index}] is {'empty' if not word else 'text that no command line can hold'}"


def _env_problems(env: object) -> Iterator[str]:
    if not isinstance(env, dict):
        yield _wrong("env", env, "an object whose values are strings")
        return
    for name, value in env.items():
        if not isinstance(value, str):
            yield _wrong(f"env[{_quote(name)}]", value, "a string")
        elif not _fits_a_process(value):  # not shown: it may be a secret
            yield f"env[{_quote(name)}] is text that no environment variable can hold"
        if not name or "=" in name or not _fits_a_process(name):
            yield f"env[{_quote(name)}] has a name that no environment variable can have"


def _fits_a_process(text: str) -> bool:
    """Whether the operating system can pass it on: it has no NUL and no half of a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _wrong(key: str, value: object, accepted: str) -> str:
    return f"{key} is {_describe(value)}; it must be {accepted}"


def _describe(value: object) -> str:
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return _quote(value)


def _quote(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _TEXT_SHOWN else f"{text[:_TEXT_SHOWN]}..."
