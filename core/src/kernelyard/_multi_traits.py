"""What the sync and the async manager of many kernels have in common: the traits, and the table of kernels."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from traitlets import Bool, DottedObjectName, Instance, Unicode, default, observe
from traitlets.config import LoggingConfigurable
from traitlets.utils.importstring import import_item

from kernelyard.connection import is_loopback, read_connection_file
from kernelyard.errors import DuplicateKernelError, KernelStateError, UnknownKernelError
from kernelyard.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from kernelyard.types import ConnectionInfo

if TYPE_CHECKING:
    import zmq

    from kernelyard._manager_traits import ManagerTraits

__all__ = ["MultiTraits"]

#: Seconds to wait for a kernel of another program, on this machine, to take a connection.
CONNECT_TIMEOUT = 0.2

M = TypeVar("M", bound="ManagerTraits")


class MultiTraits(LoggingConfigurable, Generic[M]):
    """The kernels of one program, by id.

    Args:
        context: the ZeroMQ context to share; by default one is made when it is needed.
        **kwargs: values of traits, and `config`, `parent`, `log`.
    """

    default_kernel_name = Unicode(
        NATIVE_KERNEL_NAME, help="Name of the kernelspec of a kernel that is started without one."
    ).tag(config=True)
    kernel_manager_class = DottedObjectName(help="Name of the class of the single kernels' managers.").tag(
        config=True
    )
    kernel_spec_manager = Instance(KernelSpecManager, help="Finds the kernelspecs.")
    shared_context = Bool(default_value=True, help="Whether all kernels share one ZeroMQ context.").tag(
        config=True
    )
    connection_dir = Unicode(
        "", help="Directory of the connection files; by default Jupyter's runtime directory."
    ).tag(config=True)
    external_connection_dir = Unicode(
        None,
        allow_none=True,
        help="Directory whose connection files are kernels of other programs: they are listed while they run.",
    ).tag(config=True)

    _manager_class: ClassVar[str]

    def __init__(self, *, context: zmq.Context[Any] | None = None, **kwargs: Any) -> None:
        self._kernels: dict[str, M] = {}
        self._starting: dict[str, M] = {}
        self._external: dict[str, Path] = {}
        self._factory: Callable[..., M] | None = None
        self._context = context
        self._owns_context = False
        self._made: weakref.WeakSet[M] = weakref.WeakSet()
        super().__init__(**kwargs)

    @classmethod
    def section_names(cls) -> list[str]:
        """Return the sections of the configuration that apply: `c.MultiKernelManager` does to the async class too."""
        names: list[str] = super().section_names()
        if "MultiKernelManager" in names:
            return names
        before = names.index("MultiTraits") + 1
        return [*names[:before], "MultiKernelManager", *names[before:]]

    @default("kernel_manager_class")
    def _default_manager_class(self) -> str:
        return self._manager_class

    @default("kernel_spec_manager")
    def _default_kernel_spec_manager(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self)

    @observe("kernel_manager_class")
    def _new_manager_class(self, _: object) -> None:
        self._factory = None

    @property
    def kernel_manager_factory(self) -> Callable[..., M]:
        """Makes the manager of a single kernel: by default the class that `kernel_manager_class` names."""
        if self._factory is None:
            factory: Callable[..., M] = import_item(self.kernel_manager_class)
            self._factory = factory
            return factory
        return self._factory

    @kernel_manager_factory.setter
    def kernel_manager_factory(self, factory: Callable[..., M]) -> None:
        self._factory = factory

    @property
    def context(self) -> zmq.Context[Any]:
        """The shared ZeroMQ context."""
        if self._context is None or self._context.closed:
            import zmq

            self._context, self._owns_context = zmq.Context(), True
        return self._context

    # The table -----------------------------------------------------------------------------------------------------

    def list_kernel_ids(self) -> list[str]:
        """Return the ids of all kernels. Looks again for those of other programs, if `external_connection_dir` is set."""
        if self.external_connection_dir is not None:
            self._look_for_external(Path(self.external_connection_dir))
        return list(self._kernels)

    def get_kernel(self, kernel_id: str) -> M:
        """Return the manager of a kernel.

        Args:
            kernel_id: the kernel's id.

        Raises:
            KeyError: there is none of that id.
        """
        try:
            return self._kernels[kernel_id]
        except KeyError:
            raise UnknownKernelError(
                f"No kernel with id {kernel_id!r} is managed here.",
                kernel_id=kernel_id,
                hint=f"{len(self._kernels)} are: list_kernel_ids() names them.",
            ) from None

    def remove_kernel(self, kernel_id: str) -> M | None:
        """Take a kernel that has been shut down off the list.

        Args:
            kernel_id: the kernel's id.

        Returns:
            Its manager; None if there is none of that id.

        Raises:
            KernelStateError: it still runs.
        """
        manager = self._kernels.get(kernel_id)
        if manager is not None and manager.has_kernel:
            raise KernelStateError(
                f"Kernel {kernel_id!r} still runs, and would run on unmanaged.",
                kernel_id=kernel_id,
                hint="Shut it down: shutdown_kernel() takes it off the list too.",
            )
        return self._kernels.pop(kernel_id, None)

    def __contains__(self, kernel_id: object) -> bool:
        return kernel_id in self._kernels

    def __len__(self) -> int:
        return len(self._kernels)

    def __bool__(self) -> bool:
        # traitlets asks a parent for its truth before it inherits its configuration: an empty table is a parent too.
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_kernel_ids())

    def new_kernel_id(self, **kwargs: Any) -> str:  # noqa: ARG002 - for subclasses that choose ids by the arguments
        """Return an id for a new kernel: a random UUID.

        Args:
            **kwargs: what `start_kernel` was given, for a subclass to look at.
        """
        return str(uuid.uuid4())

    def pre_start_kernel(self, kernel_name: str | None, kwargs: dict[str, Any]) -> tuple[M, str, str]:
        """Make the manager of a new kernel.

        Args:
            kernel_name: the kernelspec; None = `default_kernel_name`.
            kwargs: what `start_kernel` was given; a `kernel_id` in it is taken out and used.

        Returns:
            The manager, the kernelspec's name, and the kernel's id.

        Raises:
            DuplicateKernelError: there is a kernel of that id.
        """
        kernel_id: str = kwargs.pop("kernel_id", None) or self.new_kernel_id(**kwargs)
        if kernel_id in self._kernels or kernel_id in self._starting:
            raise DuplicateKernelError(
                f"There is a kernel with id {kernel_id!r} already.",
                kernel_id=kernel_id,
                hint="Leave kernel_id out to have a new one made.",
            )
        name = self.default_kernel_name if kernel_name is None else kernel_name
        return self._make_manager(kernel_id, name), name, kernel_id

    def _make_manager(self, kernel_id: str, kernel_name: str, *, owns_kernel: bool = True) -> M:
        arguments: dict[str, Any] = {
            "parent": self,
            "log": self.log,
            "kernel_name": kernel_name,
            "kernel_spec_manager": self.kernel_spec_manager,
            "kernel_id": kernel_id,
        }
        if self.connection_dir:
            arguments["connection_file"] = os.path.join(self.connection_dir, f"kernel-{kernel_id}.json")  # noqa: PTH118 - a trait's text
        if self.shared_context:
            arguments["context"] = self.context
        if not owns_kernel:
            arguments["owns_kernel"] = False
        manager = self.kernel_manager_factory(**arguments)
        manager.start_restarter()
        manager.when_idle = self._end_context
        self._made.add(manager)
        return manager

    def _end_context(self) -> None:
        """End the shared context, and with it its threads, if no kernel and no client is left to use it."""
        in_use = self._starting or not all(manager.is_idle for manager in list(self._made))
        if self._context is None or not self._owns_context or in_use:
            return
        context, self._context = self._context, None
        context.destroy(linger=0)

    def __del__(self) -> None:
        # Clients that were never stopped keep the context; without them there is nothing left to end.
        if getattr(self, "_context", None) is not None:
            self._end_context()

    # One kernel's connection -------------------------------------------------------------------------------------------

    def get_connection_info(self, kernel_id: str) -> dict[str, Any]:
        """Return where a kernel's channels are, as a dictionary with a connection file's keys.

        Args:
            kernel_id: the kernel's id.
        """
        return self.get_kernel(kernel_id).get_connection_info()

    def connect_shell(self, kernel_id: str, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to a kernel's shell channel.

        Args:
            kernel_id: the kernel's id.
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self.get_kernel(kernel_id).connect_shell(identity)

    def connect_iopub(self, kernel_id: str, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected and subscribed to a kernel's iopub channel.

        Args:
            kernel_id: the kernel's id.
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self.get_kernel(kernel_id).connect_iopub(identity)

    def connect_stdin(self, kernel_id: str, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to a kernel's stdin channel.

        Args:
            kernel_id: the kernel's id.
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self.get_kernel(kernel_id).connect_stdin(identity)

    def connect_control(self, kernel_id: str, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to a kernel's control channel.

        Args:
            kernel_id: the kernel's id.
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self.get_kernel(kernel_id).connect_control(identity)

    def connect_hb(self, kernel_id: str, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to a kernel's heartbeat channel.

        Args:
            kernel_id: the kernel's id.
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self.get_kernel(kernel_id).connect_hb(identity)

    def add_restart_callback(
        self, kernel_id: str, callback: Callable[[], Any], event: str = "restart"
    ) -> None:
        """Add a callback to a kernel; see `KernelManager.add_restart_callback`.

        Args:
            kernel_id: the kernel's id.
            callback: a function without arguments.
            event: "restart" or "dead".
        """
        self.get_kernel(kernel_id).add_restart_callback(callback, event)

    def remove_restart_callback(
        self, kernel_id: str, callback: Callable[[], Any], event: str = "restart"
    ) -> None:
        """Remove a callback from a kernel.

        Args:
            kernel_id: the kernel's id.
            callback: the function.
            event: "restart" or "dead".
        """
        self.get_kernel(kernel_id).remove_restart_callback(callback, event)

    def update_env(self, *, kernel_id: str, env: dict[str, str]) -> None:
        """Change environment variables of a kernel, from its next restart on.

        Args:
            kernel_id: the kernel's id.
            env: the variables to set.
        """
        self.get_kernel(kernel_id).update_env(env=env)

    # Kernels of other programs -------------------------------------------------------------------------------------------

    def _look_for_external(self, directory: Path) -> None:
        own = {m.connection_file for i, m in self._kernels.items() if i not in self._external}
        found: dict[str, tuple[Path, ConnectionInfo]] = {}
        for path in sorted(directory.glob("*.json")):
            with suppress(OSError, ValueError):
                connection = read_connection_file(path)
                if (
                    str(path.absolute()) not in own
                    and connection.kernel_name
                    and connection.key
                    and _takes(connection)
                ):
                    found[_external_id(path)] = (path, connection)
        for kernel_id in [i for i in self._external if i not in found]:
            del self._external[kernel_id]
            self._kernels.pop(kernel_id, None)
        for kernel_id, (path, connection) in found.items():
            if kernel_id in self._kernels:
                continue
            manager = self._make_manager(kernel_id, connection.kernel_name, owns_kernel=False)
            manager.connection_file = str(path.absolute())
            manager.connection = connection
            manager.end(None)
            # What Jupyter Server's kernel listing reads of a manager.
            manager.last_activity = datetime.now(tz=timezone.utc)  # type: ignore[attr-defined]  # set from outside there too
            manager.execution_state = "idle"  # type: ignore[attr-defined]  # set from outside there too
            manager.connections = 1  # type: ignore[attr-defined]  # set from outside there too
            self._external[kernel_id] = path
            self._kernels[kernel_id] = manager


def _external_id(path: Path) -> str:
    """The id in the file's name if there is one, so that it is the same for everybody; else one made of the path."""
    try:
        return str(uuid.UUID(path.stem.removeprefix("kernel-")))
    except ValueError:
        digest = hashlib.sha256(os.fsencode(path.absolute())).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))


def _takes(connection: ConnectionInfo) -> bool:
    """Whether something listens there; believed without a look if it is not on this machine."""
    if connection.transport == "ipc":
        family, address = getattr(socket, "AF_UNIX", None), connection.url("hb").removeprefix("ipc://")
        if family is None:
            return True
        with socket.socket(family) as probe:
            probe.settimeout(CONNECT_TIMEOUT)
            return probe.connect_ex(address) == 0
    if not is_loopback(connection.ip):
        return True
    with socket.socket(socket.AF_INET6 if ":" in connection.ip else socket.AF_INET) as probe:
        probe.settimeout(CONNECT_TIMEOUT)
        return probe.connect_ex((connection.ip or "127.0.0.1", connection.hb_port)) == 0
