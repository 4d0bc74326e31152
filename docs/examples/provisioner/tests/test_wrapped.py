"""kernelyard's contract suite, run for the wrapped provisioner."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import psutil
import pytest
from kernelyard import KernelHandle
from kernelyard.testing import ProvisionerContract
from kernelyard.testing.place import files_left
from kernelyard_wrapped import WrappedProvisioner


class TestWrapped(ProvisionerContract):
    @pytest.fixture
    def provisioner(self):
        return WrappedProvisioner()

    @pytest.fixture
    def leftovers(self):
        """The files, and every process of the kernel's group."""

        async def leftovers(handle: KernelHandle) -> list[str]:
            processes = [str(pid) for pid in psutil.pids() if group(pid) == handle.ref["pid"]]
            return [*files(handle.ref["directory"]), *files_left(handle), *processes]

        return leftovers

    async def test_kernel_is_as_nice_as_the_wrapper_makes_it(
        self, launch: Callable, program: Callable, relay, start_timeout: float
    ):
        handle = await launch(program("import os; print(os.nice(0))"))
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
        assert status.output == (str(os.nice(0) + 10),)


def files(directory: str) -> list[str]:
    return [str(path) for path in Path(directory).glob("*")]


def group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
