"""What the contract suite must know of a place, as fixtures that a provisioner's test class may override."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import anyio
import pytest

from kernelyard._plugins import Relay
from kernelyard.config import Layer, resolve_settings
from kernelyard.connection import ipc_paths, new_key
from kernelyard.testing._talk import Talk, talking
from kernelyard.testing.leaks import LeakGuard
from kernelyard.types import ConnectionInfo, KernelHandle, LaunchRequest

__all__ = ["Launch", "Leftovers", "MakeRequest", "Place", "Program", "TalkTo", "files_in", "files_left"]

Program: TypeAlias = "Callable[[str], list[str]]"
Leftovers: TypeAlias = "Callable[[KernelHandle], Awaitable[list[str]]]"
TalkTo: TypeAlias = "Callable[[KernelHandle], AbstractAsyncContextManager[Talk]]"


class MakeRequest(Protocol):
    """Makes launch requests."""

    def __call__(self, argv: list[str], **changes: Any) -> LaunchRequest:
        """Return a request for a command; `changes` are fields of LaunchRequest."""


class Launch(Protocol):
    """Launches commands, and sees to it that nothing of them outlives the test."""

    async def __call__(self, argv: list[str], **changes: Any) -> KernelHandle:
        """Launch a command; `changes` are fields of LaunchRequest."""


def files_in(directory: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return sorted(path.name for path in directory.iterdir())


def files_left(handle: KernelHandle) -> list[str]:
    """Return the files of a kernel on this machine that are there."""
    own = [] if handle.connection_file is None else [Path(handle.connection_file)]
    return [str(path) for path in own + ipc_paths(handle.connection) if path.exists()]


class Place:
    """The fixtures of the contract suite. `provisioner` must be given; the others have defaults.

    The defaults fit a place that runs commands of this machine on this machine.
    """

    # What a provisioner's tests must, and what they may, say of their place -------------------------------------

    @pytest.fixture
    def provisioner(self) -> object:
        """The provisioner under test."""
        raise NotImplementedError("override the fixture `provisioner`: return the provisioner to test")

    @pytest.fixture
    def fresh_provisioner(self, provisioner: object) -> object:
        """Another object of the same kind and configuration, as another process would make it."""
        return type(provisioner)()

    @pytest.fixture
    def provisioner_path(self, provisioner: object) -> str:
        """What another process imports and calls, without arguments, to have the provisioner: "module:name"."""
        return f"{type(provisioner).__module__}:{type(provisioner).__qualname__}"

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """The settings of every kernel, as a kernelspec's `config` would have them."""
        return {}

    @pytest.fixture
    def python(self) -> list[str]:
        """The beginning of a command that runs a Python with ipykernel in the place."""
        return [sys.executable]

    @pytest.fixture
    def start_timeout(self) -> float:
        """Seconds within which any one thing must happen in this place. Only a broken one needs them all."""
        return 60.0

    @pytest.fixture
    def has_process_groups(self) -> bool:
        """Whether a signal reaches the children of a kernel."""
        return sys.platform != "win32"

    @pytest.fixture
    def shares_ports_with_this_machine(self) -> bool:
        """Whether a port that is taken here is taken for the kernel."""
        return True

    @pytest.fixture
    def reports_exit_code_to_strangers(self) -> bool:
        """Whether a process that did not launch a kernel learns its exit code."""
        return True

    @pytest.fixture
    def leftovers(self) -> Leftovers:
        """A coroutine function that names what is left of a kernel: processes, containers, files (`files_left`)."""

        async def files(handle: KernelHandle) -> list[str]:
            return files_left(handle)

        return files

    @pytest.fixture
    def handle_of_a_stranger(self) -> tuple[KernelHandle, Callable[[], bool]]:
        """A handle of a kernel that is gone, and whose process id a stranger has; and whether that one is unharmed.

        For places where ids are given again to others.
        """
        pytest.skip("nothing in this place is given the id of a kernel that is gone")

    # What the tests use ---------------------------------------------------------------------------------------

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The event loop of the tests."""
        return "asyncio"

    @pytest.fixture
    def contract_dir(self) -> Iterator[Path]:
        """A directory for connection files, with a path short enough for sockets."""
        directory = Path(tempfile.mkdtemp(prefix="ky-"))
        yield directory
        shutil.rmtree(directory)

    @pytest.fixture(autouse=True)
    async def _nothing_leaks(self, anyio_backend: str, contract_dir: Path) -> AsyncIterator[None]:  # noqa: ARG002 - the loop
        guard = LeakGuard(contract_dir)
        yield
        await guard.check()

    @pytest.fixture
    def relay(self, provisioner: object) -> Relay:
        """The provisioner as the core calls it. Making it checks names, parameters and that all hooks are async."""
        return Relay("under-test", provisioner, plugins=())

    @pytest.fixture
    def program(self, python: list[str]) -> Program:
        """The command that runs Python code."""
        return lambda code: [*python, "-c", code]

    @pytest.fixture
    def idle(self, program: Program) -> list[str]:
        """A command that runs until it is stopped, and never answers."""
        return program("import time; time.sleep(3600)")

    @pytest.fixture
    def ipykernel(self, python: list[str]) -> list[str]:
        """The command of a real kernel."""
        quiet = "--HistoryManager.enabled=False"
        return [*python, "-m", "ipykernel_launcher", "-f", "{connection_file}", quiet]

    @pytest.fixture
    def make_request(
        self, contract_dir: Path, provisioner: object, settings: Mapping[str, Any]
    ) -> MakeRequest:
        """See `MakeRequest`."""
        resolved, _ = resolve_settings(provisioner, "under-test", [Layer("the fixture `settings`", settings)])

        def make(argv: list[str], **changes: Any) -> LaunchRequest:
            kernel_id = changes.pop("kernel_id", str(uuid.uuid4()))
            request: dict[str, Any] = {
                "kernel_id": kernel_id,
                "provisioner": "under-test",
                "kernel_name": "contract",
                "argv": tuple(argv),
                "connection": ConnectionInfo(key=new_key(), kernel_name="contract"),
                "connection_file": str(contract_dir / f"kernel-{kernel_id}.json"),
                "settings": resolved,
                **changes,
            }
            return LaunchRequest(**request)

        return make

    @pytest.fixture
    async def launch(
        self, relay: Relay, make_request: MakeRequest, start_timeout: float
    ) -> AsyncIterator[Launch]:
        """See `Launch`."""
        launched: list[KernelHandle] = []

        async def launch(argv: list[str], **changes: Any) -> KernelHandle:
            with anyio.fail_after(start_timeout):
                handle = await relay.launch(make_request(argv, **changes))
            launched.append(handle)
            return handle

        yield launch
        with anyio.fail_after(start_timeout):
            for handle in launched:
                await relay.kill(handle)
                await relay.cleanup(handle)

    @pytest.fixture
    def talk_to(self, start_timeout: float) -> TalkTo:
        """Opens a conversation with a kernel that answers, all of it within `start_timeout`."""

        @asynccontextmanager
        async def talk_to(handle: KernelHandle) -> AsyncIterator[Talk]:
            with anyio.fail_after(start_timeout):
                async with talking(handle.connection) as talk:
                    yield talk

        return talk_to
