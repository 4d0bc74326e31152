"""What the sync and the async kernel manager have in common: the traits, and everything that needs no waiting."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from traitlets import Bool, DottedObjectName, Float, Integer, default, observe
from traitlets.utils.importstring import import_item

from kernelyard import connection as files
from kernelyard._launch_traits import LaunchTraits
from kernelyard._lifecycle import Lifecycle, State
from kernelyard._supervise import Supervisor
from kernelyard.errors import LaunchError
from kernelyard.types import ConnectionInfo, ExitStatus, KernelHandle

if TYPE_CHECKING:
    from kernelyard._blocking_client import BlockingKernelClient
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["ManagerTraits", "ProvisionerView"]

Future: TypeAlias = "asyncio.Future[None] | concurrent.futures.Future[None]"
Callback: TypeAlias = Callable[[], Any]


class ManagerTraits(LaunchTraits):
    """Configuration and state of one kernel's manager.

    Args:
        owns_kernel: False for a kernel that somebody else started, known by its connection only.
        **kwargs: values of traits, and `config`, `parent`, `context`, `log`.
    """

    autorestart = Bool(
        default_value=True,
        help="Whether a kernel that dies is started again. Managers of many kernels do so by default; a manager of "
        "one kernel does when this is set explicitly, when start_restarter() was called, or when a callback for "
        '"restart" was added.',
    ).tag(config=True)
    restart_limit = Integer(5, help="Restarts in a row after which a kernel that dies is given up.").tag(
        config=True
    )
    stable_start_time = Float(
        10.0,
        help="Seconds of life after which a kernel counts as stable: its death is then the first in a row.",
    ).tag(config=True)
    shutdown_wait_time = Float(
        5.0,
        help="Seconds that a kernel has to end by itself. After half of them it gets SIGTERM, after all SIGKILL.",
    ).tag(config=True)
    cache_ports = Bool(
        default_value=True,
        help="Accepted for jupyter_client's sake: ports are reserved until the kernel listens on them, and kept over "
        "restarts, in any case.",
    ).tag(config=True)
    client_class = DottedObjectName(help="Name of the class of the clients that client() makes.")
    _client_class: ClassVar[str]
    #: Whether blocking clients live on the same event loop as the state machine.
    _clients_share_loop: ClassVar[bool]

    def __init__(self, *, owns_kernel: bool = True, **kwargs: Any) -> None:
        self._callbacks: dict[str, list[Callback]] = {"restart": [], "dead": []}
        self._supervised = "autorestart" in kwargs
        self._supervisor: Supervisor | None = None
        self._ready: Future | None = None
        self._client_factory: Callable[..., Any] | None = None
        #: Called when neither a kernel nor a client with open channels is left.
        self.when_idle: Callable[[], None] | None = None
        super().__init__(**kwargs)
        sections = (self.config[name] for name in self.section_names() if name in self.config)
        self._supervised |= any("autorestart" in section for section in sections)
        self._kernel: Lifecycle
        if owns_kernel:
            self._kernel = Lifecycle(self)
        else:
            from kernelyard._foreign import ForeignKernel

            self._kernel = ForeignKernel(self)

    @default("client_class")
    def _default_client_class(self) -> str:
        return self._client_class

    # The kernel ------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> Future:
        """A future, new for every start, restart and shutdown: done when that is complete, with its error if it failed.

        As in jupyter_client it is done when the kernel's process has been launched. `wait_for_ready()` waits until
        the kernel answers.
        """
        if self._ready is None:
            self._ready = self._new_future()
        return self._ready

    @property
    def state(self) -> State:
        """Where the kernel stands: NEW, STARTING, RUNNING, RESTARTING, STOPPING or DEAD."""
        return self._kernel.state

    @property
    def has_kernel(self) -> bool:
        """Whether there is a kernel process: launched, and not known to have ended."""
        return self._kernel.handle is not None and not self._kernel.has_exited

    @property
    def owns_kernel(self) -> bool:
        """Whether this manager started, or may start, the kernel, and so ends it."""
        return not self._kernel.is_foreign

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a kernel, nor one on its way, nor a client with open channels."""
        return self._kernel.is_idle

    @property
    def shutting_down(self) -> bool:
        """Whether a shutdown is under way."""
        return self._kernel.state is State.STOPPING

    @property
    def handle(self) -> KernelHandle | None:
        """The running kernel as a value, or None. It holds the connection's key."""
        return self._kernel.handle

    @property
    def exit_status(self) -> ExitStatus | None:
        """How the last kernel ended, or None if none has."""
        return self._kernel.exit_status

    @property
    def provisioner(self) -> ProvisionerView | None:
        """What is in charge of the kernel, or None before the first start."""
        return None if self._kernel.relay is None else ProvisionerView(self._kernel)

    def resolve_path(self, path: str) -> str | None:
        """Return the absolute path on this machine of a path as the kernel sees it.

        Args:
            path: absolute, beginning with ~, or relative to the kernel's working directory.

        Returns:
            The path; None if there is no such file, or the kernel runs where this machine's files are not.
        """
        request, relay = self._kernel.request, self._kernel.relay
        if request is None or relay is None or not getattr(relay.provisioner, "shares_filesystem", False):
            return None
        resolved = Path(request.cwd or Path.cwd(), Path(path).expanduser())
        return str(resolved.resolve()) if resolved.exists() else None

    def update_env(self, *, env: Mapping[str, str]) -> None:
        """Change environment variables of the kernel, from its next restart on.

        Args:
            env: the variables to set.
        """
        request = self._kernel.request
        if request is not None:
            self._kernel.request = dataclasses.replace(request, env={**request.env, **env})

    # Restarts ----------------------------------------------------------------------------------------------------

    def start_restarter(self) -> None:
        """Start the kernel again when it dies, if `autorestart` is on."""
        self._supervised = True

    def stop_restarter(self) -> None:
        """Leave a kernel that dies alone."""
        self._supervised = False

    def add_restart_callback(self, callback: Callback, event: str = "restart") -> None:
        """Add a function that is called without arguments when something happens to the kernel unasked.

        Args:
            callback: the function. Of a sync manager it runs in a thread of its own; of an async one on the event
                loop, and may be a coroutine function.
            event: "restart" (the kernel died and was started again) or "dead" (it died and stays so).

        Raises:
            ValueError: there is no such event.
        """
        self._callbacks_of(event).append(callback)

    def remove_restart_callback(self, callback: Callback, event: str = "restart") -> None:
        """Remove a function that `add_restart_callback` added; one that is not there is no error.

        Args:
            callback: the function.
            event: "restart" or "dead".

        Raises:
            ValueError: there is no such event.
        """
        with suppress(ValueError):
            self._callbacks_of(event).remove(callback)

    def _callbacks_of(self, event: str) -> list[Callback]:
        if event not in self._callbacks:
            raise ValueError(f"there is no event {event!r}; there are 'restart' and 'dead'")
        return self._callbacks[event]

    # Clients -----------------------------------------------------------------------------------------------------

    @property
    def client_factory(self) -> Callable[..., Any]:
        """The class of the clients that client() makes."""
        if self._client_factory is None:
            factory: Callable[..., Any] = import_item(self.client_class)
            self._client_factory = factory
            return factory
        return self._client_factory

    @client_factory.setter
    def client_factory(self, factory: Callable[..., Any]) -> None:
        self._client_factory = factory

    @observe("client_class")
    def _new_client_class(self, _: object) -> None:
        self._client_factory = None

    def _make_client(self, factory: Callable[..., Any], overrides: Mapping[str, Any]) -> Any:
        arguments: dict[str, Any] = {
            "connection": self.connection,
            "connection_file": self.connection_file,
            "session": self.session.clone(),
            "parent": self,
        }
        if not self._kernel.is_foreign:
            arguments["kernel"] = self._kernel
        arguments.update(overrides)
        if "context" not in arguments:
            arguments["context"] = self.context
        return factory(**arguments)

    def blocking_client(self) -> BlockingKernelClient:
        """Return a new blocking client of this kernel, whatever `client_class` is. Its channels are not started.

        One of an async manager knows the kernel by its connection only: it does not follow it to new ports.
        """
        from kernelyard._blocking_client import BlockingKernelClient

        # Another loop than the state machine's must not be given the link to it.
        link = {} if self._clients_share_loop else {"kernel": None, "context": None}
        client: BlockingKernelClient = self._make_client(BlockingKernelClient, link)
        return client

    def control_client(self) -> AsyncKernelClient:
        """Return a new client for the state machine's own requests; see `kernelyard._lifecycle.Owner`."""
        from kernelyard.wire.client import AsyncKernelClient

        client: AsyncKernelClient = self._make_client(AsyncKernelClient, {})
        return client

    # What the state machine asks and tells: kernelyard._lifecycle.Owner ---------------------------------------------

    def supervisor(self) -> Supervisor | None:
        """Return who decides about restarts, or None if a dead kernel is left alone."""
        if not self.autorestart or not (self._supervised or self._callbacks["restart"]):
            return None
        if self._supervisor is None:
            self._supervisor = Supervisor(self.restart_limit, self.stable_start_time)
        return self._supervisor

    def begin(self) -> None:
        """An operation has begun: give out a fresh `ready`, unless nobody can have seen the old one done."""
        if self._ready is None or self._ready.done():
            self._ready = self._new_future()

    def end(self, error: BaseException | None) -> None:
        """Complete `ready`."""
        ready = self.ready
        if ready.done():
            return
        if error is None:
            ready.set_result(None)
            return
        if isinstance(error, asyncio.CancelledError):
            error = LaunchError("The operation was cancelled by its caller.", kernel_id=self.kernel_id)
        ready.set_exception(error)
        ready.exception()  # whoever started the operation has it already: no warning if nobody looks here

    def connected(self, connection: ConnectionInfo) -> None:
        """Take over where the channels are, and see to it that the connection file says so too."""
        wanted = self._wanted_ports()
        self._assigned = {c: port for c, port in connection.ports.items() if not wanted[c]}
        self.connection = connection
        try:
            written: ConnectionInfo | None = files.read_connection_file(self.connection_file)
        except (OSError, ValueError):
            written = None
        if written != connection:
            try:
                files.write_connection_file(self.connection_file, connection)
            except OSError as error:
                raise LaunchError(
                    f"The connection file {self.connection_file} cannot be written: {error.strerror}.",
                    kernel_id=self.kernel_id,
                ) from error
        self._wrote_file = True

    def released(self) -> None:
        """Nothing of the kernel is left: remove what this side has of it. A file that others wrote stays."""
        if self._wrote_file:
            self._wrote_file = False
            try:
                self.cleanup_connection_file()
            except OSError:
                self.log.warning("%s cannot be removed", self.connection_file, exc_info=True)

    def idle(self) -> None:
        """Neither a kernel nor a client is left: end the ZeroMQ context, and with it its threads."""
        self._close_context()
        if self.when_idle is not None:
            self.when_idle()

    def _new_future(self) -> Future:
        raise NotImplementedError

    async def call_back(self, event: str) -> None:
        """Run the callbacks of an event; what one raises is logged."""
        raise NotImplementedError


class ProvisionerView:
    """What is in charge of a kernel, as programs written for jupyter_client look at it.

    Attributes:
        name: the provisioner's name.
    """

    def __init__(self, kernel: Lifecycle) -> None:
        self._kernel = kernel
        self.name = "" if kernel.relay is None else kernel.relay.name

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel, launched and not known to have ended."""
        return self._kernel.handle is not None and not self._kernel.has_exited

    @property
    def pid(self) -> int | None:
        """The kernel's process id, if it is a process of this machine."""
        return self._number("pid")

    @property
    def pgid(self) -> int | None:
        """The kernel's process group, if it is a process of this machine."""
        return self._number("pgid")

    @property
    def connection_info(self) -> dict[str, Any]:
        """Where the kernel's channels are; empty if there is no kernel."""
        return {} if self._kernel.handle is None else self._kernel.handle.connection.to_dict()

    def _number(self, name: str) -> int | None:
        value = None if self._kernel.handle is None else self._kernel.handle.ref.get(name)
        return value if isinstance(value, int) else None

    def __repr__(self) -> str:
        return f"<provisioner {self.name!r}, {'running' if self.has_process else 'no kernel'}>"
