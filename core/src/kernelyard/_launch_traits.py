"""What a kernel manager will launch: traits, and from them, a kernelspec and arguments to a `Launch`."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from traitlets import Instance, Unicode, default, observe

from kernelyard import connection as files
from kernelyard._connection_traits import ConnectionTraits
from kernelyard.errors import KernelStateError, LaunchError
from kernelyard.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from kernelyard.types import CHANNELS, Channel, LaunchRequest

if TYPE_CHECKING:
    from kernelyard._launch import Launch
    from kernelyard._plugins import Relay

__all__ = ["LaunchTraits"]


class LaunchTraits(ConnectionTraits):
    """The kernelspec of one kernel, and how a launch comes of it."""

    kernel_name = Unicode(NATIVE_KERNEL_NAME, help="Name of the kernelspec.").tag(config=True)
    kernel_id = Unicode(None, allow_none=True, help="The kernel's id; by default a random UUID.")
    kernel_spec_manager = Instance(KernelSpecManager, help="Finds the kernelspecs.")
    connection_dir = Unicode(
        "", help="Directory of the connection file; by default Jupyter's runtime directory."
    )
    data_dir = Unicode(help="Jupyter's data directory.")

    def __init__(self, **kwargs: Any) -> None:
        self._spec: KernelSpec | None = None
        #: The ports that the last launch chose: they are not configured, though the traits have them.
        self._assigned: dict[Channel, int] = {}
        self._launch_args: dict[str, Any] | None = None
        super().__init__(**kwargs)

    @classmethod
    def section_names(cls) -> list[str]:
        """Return the sections of the configuration that apply: `c.KernelManager` does to the async class too."""
        names: list[str] = super().section_names()
        if "ConnectionFileMixin" not in names:  # jupyter_client's name of what is ConnectionTraits here
            names.insert(names.index("ConnectionTraits") + 1, "ConnectionFileMixin")
        if "KernelManager" in names:
            return names
        before = names.index("LaunchTraits") + 1
        return [*names[:before], "KernelManager", *names[before:]]

    @default("kernel_spec_manager")
    def _default_kernel_spec_manager(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self)

    @default("data_dir")
    def _default_data_dir(self) -> str:
        from jupyter_core.paths import jupyter_data_dir

        return str(jupyter_data_dir())

    @observe("kernel_name")
    def _new_kernel_name(self, change: Mapping[str, Any]) -> None:
        self._spec = None
        if change["new"] == "python":
            self.kernel_name = NATIVE_KERNEL_NAME

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

    def _changed(self, kwargs: dict[str, Any]) -> tuple[Relay | None, LaunchRequest | None]:
        """What a restart with arguments of its own launches, and with whom; None = the same again."""
        if not kwargs or self._launch_args is None:
            return None, None
        launch = self.plan(**{**self._launch_args, **kwargs})
        self._launch_args.update(self._take_own_arguments(kwargs))
        return self._relay(launch.request.provisioner), launch.request

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
