"""What the sync and the async kernel manager have in common: the traits, and everything that needs no waiting."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from traitlets import Bool, DottedObjectName, Float, Instance, Integer, Unicode, default, observe
from traitlets.utils.importstring import import_item

from kernelyard import connection as files
from kernelyard._connection_traits import ConnectionTraits
from kernelyard._lifecycle import Lifecycle, State
from kernelyard._supervise import Supervisor
from kernelyard.errors import KernelStateError, LaunchError
from kernelyard.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from kernelyard.types import CHANNELS, Channel, ConnectionInfo, ExitStatus, KernelHandle, LaunchRequest

if TYPE_CHECKING:
    from kernelyard._blocking_client import BlockingKernelClient
    from kernelyard._launch import Launch
    from kernelyard._plugins import Relay
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["ManagerTraits", "ProvisionerView"]

Future: TypeAlias = "asyncio.Future[None] | concurrent.futures.Future[None]"
Callback: TypeAlias = Callable[[], Any]


class ManagerTraits(ConnectionTraits):
    """Configuration and state of one kernel's manager.

    Args:
        owns_kernel: False for a kernel that somebody else started, known by its connection only.
        **kwargs: values of traits, and `config`, `parent`, `context`, `log`.
    """

    kernel_name = Unicode(NATIVE_KERNEL_NAME, help="Name of the kernelspec.").tag(config=True)
    kernel_id = Unicode(None, allow_none=True, help="The kernel's id; by default a random UUID.")
    kernel_spec_manager = Instance(KernelSpecManager, help="Finds the kernelspecs.")
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
    connection_dir = Unicode(
        "", help="Directory of the connection file; by default Jupyter's runtime directory."
    )
    client_class = DottedObjectName(help="Name of the class of the clients that client() makes.")
    data_dir = Unicode(help="Jupyter's data directory.")

    _client_class: ClassVar[str]
    #: Whether blocking clients live on the same event loop as the state machine.
    _clients_share_loop: ClassVar[bool]

    def __init__(self, *, owns_kernel: bool = True, **kwargs: Any) -> None:
        self._callbacks: dict[str, list[Callback]] = {"restart": [], "dead": []}
        self._supervised = "autorestart" in kwargs
        self._supervisor: Supervisor | None = None
        self._ready: Future | None = None
        self._spec: KernelSpec | None = None
        self._assigned: dict[Channel, int] = {}
        self._launch_args: dict[str, Any] | None = None
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

    @classmethod
    def section_names(cls) -> list[str]:
        """Return the sections of the configuration that apply: `c.KernelManager` does to the async class too."""
        names: list[str] = super().section_names()
        return names if "KernelManager" in names else [*names[:-1], "KernelManager", names[-1]]

    @default("kernel_spec_manager")
    def _default_kernel_spec_manager(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self)

    @default("client_class")
    def _default_client_class(self) -> str:
        return self._client_class

    @default("data_dir")
    def _default_data_dir(self) -> str:
        from jupyter_core.paths import jupyter_data_dir

        return str(jupyter_data_dir())

    @observe("kernel_name")
    def _new_kernel_name(self, change: Mapping[str, Any]) -> None:
        self._spec = None
        if change["new"] == "python":
            self.kernel_name = NATIVE_KERNEL_NAME

    # The kernel ------------------------------------------------------------------------------------------------

    @property
    def kernel_spec(self) -> KernelSpec | None:
        """The kernelspec named by `kernel_name`; None if that is empty.

        Raises:
            NoSuchKernel: there is none of that name.
            InvalidKernelSpecError: its kernel.json cannot be used.
        """
        if self._spec is None and self.kernel_name:
            self._spec = self.kernel_spec_manager.get_kernel_spec(self.kernel_name)
        return self._spec

    @property
    def ipykernel(self) -> bool:
        """Whether this is IPython's kernel, by its kernelspec's name."""
        return self.kernel_name in (NATIVE_KERNEL_NAME, "python", "python2")

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

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command that would start the kernel.

        Args:
            extra_arguments: what to append to the kernelspec's argv.
        """
        from kernelyard.kernelspec import format_argv

        self._complete_connection_file(self.kernel_id)
        spec = self._required_spec()
        values = {**(self._launch_args or {}), "resource_dir": spec.resource_dir}
        values["connection_file"] = os.path.realpath(self.connection_file)
        return format_argv(
            [*spec.argv, *(extra_arguments or [])], {k: v for k, v in values.items() if isinstance(v, str)}
        )

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
            files.write_connection_file(self.connection_file, connection)
        self._wrote_file = True

    def released(self) -> None:
        """Nothing of the kernel is left: remove what this side has of it. A file that others wrote stays."""
        if self._wrote_file:
            self._wrote_file = False
            self.cleanup_connection_file()

    def idle(self) -> None:
        """Neither a kernel nor a client is left: end the ZeroMQ context, and with it its threads."""
        self._close_context()
        if self.when_idle is not None:
            self.when_idle()

    # Preparing a launch ----------------------------------------------------------------------------------------------

    def plan(self, **kwargs: Any) -> Launch:
        """Return the launch that `start_kernel` would make with these arguments, and which layer set each part.

        Nothing is started, reserved or written.

        Raises:
            NoSuchKernel: there is no such kernelspec.
            KernelSpecError: the kernelspec cannot be used.
            ProvisionerError: its provisioner is not installed, is broken, or refuses the settings.
            TypeError: an argument that `start_kernel` does not take.
            LaunchError: encryption is required, and the kernel does not declare that it can.
        """
        from kernelyard._launch import LaunchArguments, build_launch, spec_source
        from kernelyard._plugins import load_provisioner

        kwargs = self._take_own_arguments(kwargs)
        spec = self._required_spec()
        self.kernel_id = self.kernel_id or str(uuid.uuid4())
        self._complete_connection_file(self.kernel_id)
        self._make_keys(spec)
        return build_launch(
            kernel_id=self.kernel_id,
            kernel_name=self.kernel_name,
            spec=spec,
            provisioner=load_provisioner(
                spec.provisioner_name, self.config, asked_by=spec_source(self.kernel_name, spec)
            ),
            arguments=LaunchArguments.from_kwargs(spec, kwargs),
            connection=self.connection.with_ports(self._wanted_ports()),
            connection_file=self.connection_file,
            environ=os.environ,
        )

    def _prepare(self, kwargs: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """What pre_start_kernel does, in both classes."""
        launch = self.plan(**kwargs)
        self._launch_args = self._take_own_arguments(kwargs)
        return list(launch.request.argv), self._launch_args

    def _launch(self, cmd: list[str], kwargs: dict[str, Any]) -> tuple[Relay, Launch]:
        """The launch with the command that pre_start_kernel, which a subclass may have changed, returned."""
        launch = self.plan(**kwargs)
        request = dataclasses.replace(launch.request, argv=tuple(cmd))
        relay = self._relay(request.provisioner)
        return relay, dataclasses.replace(launch, request=request)

    def _changed_request(self, kwargs: dict[str, Any]) -> LaunchRequest | None:
        """The request of a restart with arguments of its own; None = the same again."""
        if not kwargs or self._launch_args is None:
            return None
        launch = self.plan(**{**self._launch_args, **kwargs})
        self._launch_args.update(self._take_own_arguments(kwargs))
        return launch.request

    def _relay(self, name: str) -> Relay:
        from kernelyard._plugins import Relay, load_provisioner

        return Relay(name, load_provisioner(name, self.config), log=self.log)

    def _take_own_arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Set the traits that `start_kernel` takes as arguments; return the other arguments."""
        others = dict(kwargs)
        name = others.pop("kernel_name", None)
        if name is not None:
            self.kernel_name = name
        self.kernel_id = self.kernel_id or others.pop("kernel_id", None)
        others.pop("kernel_id", None)
        encryption = others.pop("transport_encryption", None)
        if encryption is not None:
            self.transport_encryption = encryption
        return others

    def _required_spec(self) -> KernelSpec:
        spec = self.kernel_spec
        if spec is None:
            raise KernelStateError("This manager has no kernel_name, so there is nothing to start.")
        return spec

    def _wanted_ports(self) -> dict[Channel, int]:
        """The ports that the caller configured; 0 for those that an earlier launch chose."""
        current: dict[Channel, int] = {c: getattr(self, f"{c}_port") for c in CHANNELS}
        return {c: 0 if self._assigned.get(c) == port else port for c, port in current.items()}

    def _make_keys(self, spec: KernelSpec) -> None:
        """Make the CurveZMQ keys, once, if the policy and the kernelspec say that they will be used."""
        if self.transport_encryption == "disabled":
            return
        declared = spec.metadata.get("supported_encryption", [])
        if "curve" not in ([declared] if isinstance(declared, str) else declared):
            if self.transport_encryption == "required":
                raise LaunchError(
                    f"Encryption is required, and kernel {self.kernel_name!r} does not declare that it can: "
                    f"metadata.supported_encryption is {declared!r}.",
                    kernel_id=self.kernel_id,
                    hint='Use a kernel that declares "curve", or transport_encryption="auto".',
                )
            return
        if self.curve_secretkey is None:
            public, secret = files.new_curve_keys()
            self.curve_publickey, self.curve_secretkey = public.encode(), secret.encode()

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
