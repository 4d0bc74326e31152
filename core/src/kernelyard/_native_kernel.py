"""The kernel of this Python, which needs no kernelspec: found and described without the import of ipykernel.

That import takes longer than all the rest of a start on the manager's side.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

__all__ = ["NATIVE_KERNEL_NAME", "native_kernel_json", "native_resources"]

#: The name under which the kernel of this Python is found without being installed.
NATIVE_KERNEL_NAME = "python3"

_FIRST_WITH_CURVE = (7, 3)


def native_resources() -> str | None:
    """Return the directory in which ipykernel has its logos, or None if this Python has no ipykernel."""
    found = importlib.util.find_spec("ipykernel")
    if found is None or found.origin is None:
        return None
    return str(Path(found.origin).parent / "resources")


def native_kernel_json() -> dict[str, Any]:
    """Return what ipykernel would write into the kernel.json of this Python."""
    from importlib.metadata import PackageNotFoundError, version

    metadata: dict[str, Any] = {"debugger": True}
    try:
        major_minor = tuple(int(number) for number in re.findall(r"\d+", version("ipykernel"))[:2])
    except PackageNotFoundError:  # it is on sys.path, but was not installed
        major_minor = ()
    if major_minor >= _FIRST_WITH_CURVE:
        metadata["supported_encryption"] = ["curve"]
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"Python {sys.version_info[0]} (ipykernel)",
        "language": "python",
        "metadata": metadata,
        "kernel_protocol_version": "5.5",
    }
