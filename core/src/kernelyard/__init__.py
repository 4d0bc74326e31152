"""kernelyard launches Jupyter kernels anywhere, through one small, pluggable core.

The names below are the public API; they are loaded when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelyard._blocking_client import BlockingKernelClient
    from kernelyard._lifecycle import State
    from kernelyard.blocking import KernelManager, MultiKernelManager, run_kernel, start_new_kernel
    from kernelyard.connection import find_connection_file, read_connection_file, write_connection_file
    from kernelyard.errors import (
        DuplicateKernelError,
        KernelBusyError,
        KernelDiedError,
        KernelNotReadyError,
        KernelStartError,
        KernelStateError,
        KernelyardError,
        LaunchError,
        NoSuchKernel,
    )
    from kernelyard.hookspecs import hookimpl
    from kernelyard.kernelspec import (
        NATIVE_KERNEL_NAME,
        KernelSpec,
        KernelSpecManager,
        find_kernel_specs,
        get_kernel_spec,
        install_kernel_spec,
    )
    from kernelyard.manager import AsyncKernelManager, start_new_async_kernel
    from kernelyard.multi import AsyncMultiKernelManager
    from kernelyard.types import (
        ConnectionInfo,
        ExitReason,
        ExitStatus,
        KernelHandle,
        LaunchRequest,
        Phase,
        Resources,
    )
    from kernelyard.wire.client import AsyncKernelClient
    from kernelyard.wire.result import ExecutionResult
    from kernelyard.wire.session import Session

__all__ = [
    # Managers
    "KernelManager",
    "AsyncKernelManager",
    "MultiKernelManager",
    "AsyncMultiKernelManager",
    "run_kernel",
    "start_new_kernel",
    "start_new_async_kernel",
    "State",
    # Clients
    "AsyncKernelClient",
    "BlockingKernelClient",
    "ExecutionResult",
    "Session",
    # Kernelspecs
    "NATIVE_KERNEL_NAME",
    "KernelSpec",
    "KernelSpecManager",
    "find_kernel_specs",
    "get_kernel_spec",
    "install_kernel_spec",
    # Connection files
    "find_connection_file",
    "read_connection_file",
    "write_connection_file",
    # Values and the plugin contract
    "ConnectionInfo",
    "ExitReason",
    "ExitStatus",
    "KernelHandle",
    "LaunchRequest",
    "Phase",
    "Resources",
    "hookimpl",
    # Errors: the whole tree is in kernelyard.errors
    "DuplicateKernelError",
    "KernelBusyError",
    "KernelDiedError",
    "KernelNotReadyError",
    "KernelStartError",
    "KernelStateError",
    "KernelyardError",
    "LaunchError",
    "NoSuchKernel",
    # About
    "__version__",
    "protocol_version",
    "protocol_version_info",
]

#: The version of the Jupyter messaging protocol that the clients speak.
protocol_version_info = (5, 4)
protocol_version = "5.4"

_HOMES = {
    "_blocking_client": ("BlockingKernelClient",),
    "_lifecycle": ("State",),
    "blocking": ("KernelManager", "MultiKernelManager", "run_kernel", "start_new_kernel"),
    "connection": ("find_connection_file", "read_connection_file", "write_connection_file"),
    "errors": (
        "DuplicateKernelError",
        "KernelBusyError",
        "KernelDiedError",
        "KernelNotReadyError",
        "KernelStartError",
        "KernelStateError",
        "KernelyardError",
        "LaunchError",
        "NoSuchKernel",
    ),
    "hookspecs": ("hookimpl",),
    "kernelspec": (
        "NATIVE_KERNEL_NAME",
        "KernelSpec",
        "KernelSpecManager",
        "find_kernel_specs",
        "get_kernel_spec",
        "install_kernel_spec",
    ),
    "manager": ("AsyncKernelManager", "start_new_async_kernel"),
    "multi": ("AsyncMultiKernelManager",),
    "types": (
        "ConnectionInfo",
        "ExitReason",
        "ExitStatus",
        "KernelHandle",
        "LaunchRequest",
        "Phase",
        "Resources",
    ),
    "wire.client": ("AsyncKernelClient",),
    "wire.result": ("ExecutionResult",),
    "wire.session": ("Session",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from the module that it lives in (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("kernelyard-core")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"kernelyard.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'kernelyard' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
