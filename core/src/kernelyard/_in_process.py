"""A Python kernel in the calling process."""

from __future__ import annotations

from typing import Any

from kernelyard.errors import LaunchError

__all__ = ["run_in_process"]


def run_in_process(connection_file: str | None) -> None:
    """Run ipykernel here until a client shuts it down.

    Args:
        connection_file: where to write the connection file; None = ipykernel decides.

    Raises:
        LaunchError: ipykernel is not installed.
    """
    try:
        from ipykernel.kernelapp import IPKernelApp
    except ImportError as error:
        raise LaunchError(
            f"Cannot run a kernel in this process: {error}.", hint="Try: pip install ipykernel"
        ) from error
    app: Any = IPKernelApp.instance()  # ipykernel's own annotations are not complete
    try:
        # An empty list, so that it does not read this program's own command line.
        app.initialize(
            [] if connection_file is None else [f"--IPKernelApp.connection_file={connection_file}"]
        )
        app.start()
    finally:
        app.close()
        IPKernelApp.clear_instance()
