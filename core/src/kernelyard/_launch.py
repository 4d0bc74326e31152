"""From a kernelspec and the arguments of a start to a `LaunchRequest`: pure, but for a look whether there is a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelyard.config import Layer, parse_resources, resolve_settings
from kernelyard.kernelspec import KernelSpec, format_argv, substitute_env
from kernelyard.types import ConnectionInfo, LaunchRequest, Resources

__all__ = ["CALLER", "Launch", "LaunchArguments", "build_launch", "spec_source"]

#: How messages and `kernelyard plan` name what the caller of start_kernel() set.
CALLER = "start_kernel()"


@dataclass(frozen=True, kw_only=True)
class LaunchArguments:
    """The arguments of one start, as `start_kernel` took them.

    Attributes:
        env: the whole environment, or None for the manager's own.
        cwd: directory to start in, or None.
        extra_arguments: what is appended to the kernelspec's argv.
        independent: whether the kernel is meant to outlive the manager's process.
        stdout: where standard output goes, or None.
        stderr: where standard error goes, or None.
        provisioner_config: settings that override the kernelspec's `config`.
        resources: limits that override the kernelspec's `resources`.
        placeholders: further names for `{name}` in the kernelspec's argv.
    """

    env: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: str | None = None
    extra_arguments: tuple[str, ...] = ()
    independent: bool = False
    stdout: Any = None
    stderr: Any = None
    provisioner_config: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_kwargs(cls, spec: KernelSpec, kwargs: Mapping[str, Any]) -> LaunchArguments:
        """Read the keyword arguments of `start_kernel`.

        Raises:
            TypeError: one that is neither known nor a placeholder of the kernelspec's argv.
        """
        own = {name: value for name, value in kwargs.items() if name in cls.__dataclass_fields__}
        own.pop("placeholders", None)
        own["extra_arguments"] = tuple(own.get("extra_arguments") or ())
        for name in ("provisioner_config", "resources"):
            own[name] = dict(own.get(name) or {})
        if own.get("cwd") is not None:
            own["cwd"] = str(own["cwd"])
        others = {name: value for name, value in kwargs.items() if name not in own}
        for name in others:
            if not any(f"{{{name}}}" in part for part in spec.argv):
                known = ", ".join(sorted(set(cls.__dataclass_fields__) - {"placeholders"}))
                raise TypeError(
                    f"start_kernel() got an unexpected keyword argument {name!r}. It takes {known}, and the "
                    f"placeholders in the argv of the kernelspec, {spec.argv}."
                )
        return cls(**own, placeholders={name: str(value) for name, value in others.items()})


@dataclass(frozen=True)
class Launch:
    """A launch that can be made, and where each part of it comes from.

    Attributes:
        request: what the provisioner gets.
        origins: for each field of the request, and for each setting ("settings.NAME"), resource
            ("resources.NAME") and environment variable ("env.NAME"), the layer that set it.
    """

    request: LaunchRequest
    origins: Mapping[str, str]


def spec_source(kernel_name: str, spec: KernelSpec) -> str:
    """Return how messages name a kernelspec: its kernel.json, or its name if it is not from a file."""
    file = Path(spec.resource_dir, "kernel.json")
    return str(file) if spec.resource_dir and file.is_file() else f"kernelspec {kernel_name!r}"


def build_launch(
    *,
    kernel_id: str,
    kernel_name: str,
    spec: KernelSpec,
    provisioner: object,
    arguments: LaunchArguments,
    connection: ConnectionInfo,
    connection_file: str,
    environ: Mapping[str, str],
) -> Launch:
    """Build the request for a start.

    Args:
        kernel_id: the new kernel's id.
        kernel_name: the kernelspec's name.
        spec: the kernelspec.
        provisioner: the object that will get the request; its traits validate the settings.
        arguments: what the caller of `start_kernel` said.
        connection: the key, the transport and the configured ports.
        connection_file: where the connection file will be on this machine.
        environ: the manager's environment, for `${NAME}` in the kernelspec's `env`.

    Raises:
        InvalidConfigError: a setting or a resource that is unknown, locked, or of a wrong type.
    """
    file = spec_source(kernel_name, spec)
    settings, setting_origins = resolve_settings(
        provisioner,
        spec.provisioner_name,
        [
            Layer(file, spec.provisioner_config),
            Layer(f"{CALLER}'s provisioner_config", arguments.provisioner_config),
        ],
    )
    resource_layers = [Layer(file, spec.resources), Layer(f"{CALLER}'s resources", arguments.resources)]
    resources: Resources = parse_resources(resource_layers)
    below = environ if arguments.env is None else arguments.env
    asked = {} if arguments.env is None else dict(arguments.env)
    spec_env = substitute_env(spec.env, below)
    values = {"resource_dir": spec.resource_dir, **arguments.placeholders}
    request = LaunchRequest(
        kernel_id=kernel_id,
        provisioner=spec.provisioner_name,
        kernel_name=kernel_name,
        argv=tuple(format_argv([*spec.argv, *arguments.extra_arguments], values)),
        env={**asked, **spec_env},
        inherit_env=arguments.env is None,
        cwd=arguments.cwd,
        connection=connection,
        connection_file=connection_file,
        interrupt_mode="message" if spec.interrupt_mode == "message" else "signal",
        settings=settings,
        resources=resources,
        independent=arguments.independent,
        stdout=arguments.stdout,
        stderr=arguments.stderr,
    )
    origins = {
        "argv": f"{file}, {CALLER}'s extra_arguments" if arguments.extra_arguments else file,
        "cwd": CALLER if arguments.cwd is not None else "default",
        "provisioner": file if "kernel_provisioner" in spec.metadata else "default",
        "interrupt_mode": file if spec.interrupt_mode == "message" else "default",
        **{f"env.{name}": CALLER for name in asked},
        **{f"env.{name}": file for name in spec_env},
        **{f"settings.{name}": origin for name, origin in setting_origins.items()},
        **{f"resources.{name}": layer.source for layer in resource_layers for name in layer.values},
    }
    return Launch(request, origins)
