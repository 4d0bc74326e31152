"""Another process that has nothing but a handle: run as `python -m`, it calls one hook and exits without a word.

It reads from standard input, and writes to standard output, one JSON object each.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from kernelyard._plugins import Relay
from kernelyard.types import ConnectionInfo, ExitStatus, KernelHandle, LaunchRequest

__all__ = ["call"]


async def call(path: str, hook: str, **arguments: Any) -> Any:
    """Call a hook in another process, and return what it returned there, as plain data.

    Args:
        path: the provisioner: "module:name" of what makes it.
        hook: the hook's name, without its prefix.
        **arguments: its arguments.

    Raises:
        RuntimeError: it raised an error there.
    """
    text = json.dumps({"path": path, "hook": hook, "arguments": {k: _plain(v) for k, v in arguments.items()}})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        output, errors = await process.communicate(text.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(errors.decode())
    return json.loads(output)


def _plain(value: Any) -> Any:
    if isinstance(value, (KernelHandle, ExitStatus)):
        return value.to_dict()
    if isinstance(value, LaunchRequest):
        fields = ("kernel_id", "provisioner", "kernel_name", "argv", "connection_file", "independent")
        plain = {name: getattr(value, name) for name in fields}
        return {**plain, "settings": dict(value.settings), "connection": value.connection.to_dict()}
    return list(value) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    if name == "handle":
        return KernelHandle.from_dict(value)
    if name == "request":
        connection = ConnectionInfo.from_dict(value.pop("connection"))
        return LaunchRequest(**value, connection=connection)
    return value


async def _serve(job: Mapping[str, Any]) -> Any:
    module, _, name = job["path"].partition(":")
    relay = Relay("under-test", getattr(importlib.import_module(module), name)(), plugins=())
    arguments = {name: _read(name, value) for name, value in job["arguments"].items()}
    return _plain(await getattr(relay, job["hook"])(**arguments))


if __name__ == "__main__":
    answer = asyncio.run(_serve(json.load(sys.stdin)))
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # as one that crashes: nothing tidies up
