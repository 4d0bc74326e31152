"""The contract suite, run for the local provisioner."""

import subprocess
from collections.abc import Callable, Iterator

import psutil
import pytest
from kernelyard.testing import ProvisionerContract
from kernelyard.testing.place import Leftovers, files_left
from kernelyard.types import ConnectionInfo, KernelHandle
from kernelyard_local import LocalProvisioner
from kernelyard_local._process import MARK, platform_processes


class TestLocalProvisioner(ProvisionerContract):
    @pytest.fixture
    def provisioner(self) -> LocalProvisioner:
        return LocalProvisioner()

    @pytest.fixture
    def leftovers(self) -> Leftovers:
        """Files, and every process that has the kernel's mark in its environment."""

        async def all_of_it(handle: KernelHandle) -> list[str]:
            processes = [
                str(p) for p in psutil.process_iter() if _environment(p).get(MARK) == handle.kernel_id
            ]
            return files_left(handle) + processes

        return all_of_it

    @pytest.fixture
    def handle_of_a_stranger(self) -> Iterator[tuple[KernelHandle, Callable[[], bool]]]:
        """As if the pid had been given again: the stranger started later than the handle says."""
        with subprocess.Popen(["sleep", "3600"], start_new_session=True) as stranger:
            stat = psutil.Process(stranger.pid)
            ref = platform_processes_ref(stranger.pid)
            handle = KernelHandle(
                provisioner="under-test", kernel_id="gone", ref=ref, connection=ConnectionInfo()
            )
            yield handle, lambda: stranger.poll() is None and stat.status() == psutil.STATUS_SLEEPING
            stranger.kill()


def platform_processes_ref(pid: int) -> dict[str, int | str]:
    """What the handle of an older process with this pid would have."""
    from kernelyard_local._pidfd import _boot_id, _stat

    assert platform_processes().description
    stat = _stat(pid)
    assert stat is not None
    return {"pid": pid, "pgid": pid, "start_time": stat.start_time - 100, "boot_id": _boot_id()}


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return {}
