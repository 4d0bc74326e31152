"""Fixtures of the local provisioner's own tests; what every provisioner must do is in tests/contract."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernelyard.testing import LeakGuard
from kernelyard.types import ConnectionInfo, KernelHandle, LaunchRequest
from kernelyard_local import LocalProvisioner

Launch = Callable[..., Awaitable[KernelHandle]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def directory() -> Iterator[Path]:
    """For connection files; its path is short enough for sockets."""
    made = Path(tempfile.mkdtemp(prefix="kyl-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(autouse=True)
async def nothing_leaks(anyio_backend: str, directory: Path) -> AsyncIterator[None]:
    guard = LeakGuard(directory)
    yield
    await guard.check()


@pytest.fixture
def provisioner() -> LocalProvisioner:
    return LocalProvisioner()


@pytest.fixture
def request_for(directory: Path) -> Callable[..., LaunchRequest]:
    """Make a launch request for Python code, or for `argv`."""

    def make(code: str = "import time; time.sleep(3600)", **changes: Any) -> LaunchRequest:
        kernel_id = changes.pop("kernel_id", uuid.uuid4().hex)
        fields: dict[str, Any] = {
            "kernel_id": kernel_id,
            "kernel_name": "test",
            "argv": (sys.executable, "-c", code),
            "connection": ConnectionInfo(key="secret"),
            "connection_file": str(directory / f"kernel-{kernel_id}.json"),
            **changes,
        }
        return LaunchRequest(**fields)

    return make


@pytest.fixture
async def launch(
    provisioner: LocalProvisioner, request_for: Callable[..., LaunchRequest]
) -> AsyncIterator[Launch]:
    """Launch what `request_for` makes, and clean it up after the test."""
    launched = []

    async def launch(*arguments: Any, **changes: Any) -> KernelHandle:
        launched.append(await provisioner.kernelyard_launch(request_for(*arguments, **changes)))
        return launched[-1]

    yield launch
    for handle in launched:
        await provisioner.kernelyard_kill(handle)
        await provisioner.kernelyard_cleanup(handle, restart=False)
