"""A planned launch in a form that may be shown: without secrets, and with the layer that set each part."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kernelyard._launch import CALLER
from kernelyard._plugins import Relay, load_plugins, load_provisioner
from kernelyard._redact import redact, redact_argv, redact_text
from kernelyard.cli._site import site_config
from kernelyard.manager import AsyncKernelManager
from kernelyard.types import LaunchRequest

__all__ = ["Plan", "plan_launch"]

#: How the options of the command are named as the layer that set something.
_OPTIONS = "the command line"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A launch that would happen. Secrets are masked in all of it.

    Attributes:
        kernel: the kernelspec's name.
        provisioner: who would launch it.
        argv: the command.
        cwd: the directory to start in, or None for the place's default.
        env: the environment variables that the kernelspec or the caller sets.
        inherits_env: whether the place adds to them what it has; a process of this machine gets this environment.
        transport: "tcp" or "ipc".
        interrupt_mode: "signal" or "message".
        settings: the provisioner's settings.
        resources: the limits asked for.
        place: what the provisioner says that the place would be given.
        policies: the plugins that may change or refuse the launch when it happens.
        origins: for each of these, and as "env.NAME", "settings.NAME" and "resources.NAME", the layer that set it.
    """

    kernel: str
    provisioner: str
    argv: list[str]
    cwd: str | None
    env: dict[str, str]
    inherits_env: bool
    transport: str
    interrupt_mode: str
    settings: dict[str, Any]
    resources: dict[str, Any]
    place: dict[str, Any]
    policies: list[str]
    origins: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return dataclasses.asdict(self)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return a table: part, value, and the layer that set it."""

        def row(part: str, value: str, field: str = "") -> tuple[str, str, str]:
            return part, value, self.origins.get(field or part, "")

        return [
            row("kernel", self.kernel),
            row("provisioner", self.provisioner),
            row("command", shlex.join(self.argv), "argv"),
            row("directory", "the place's default" if self.cwd is None else self.cwd, "cwd"),
            row("transport", self.transport),
            row("interrupted by", self.interrupt_mode, "interrupt_mode"),
            *(row(f"env {name}", value, f"env.{name}") for name, value in self.env.items()),
            *(row(f"setting {name}", _text(v), f"settings.{name}") for name, v in self.settings.items()),
            *(row(f"limit {name}", _text(v), f"resources.{name}") for name, v in self.resources.items()),
            *(row(f"policy {name}", "is asked at the launch") for name in self.policies),
            *(
                (f"{self.provisioner}: {name}", _text(value), "")
                for name, value in self.place.items()
                if value not in (None, [], {})
            ),
        ]


async def plan_launch(
    kernel: str,
    *,
    cwd: str | None,
    settings: Mapping[str, Any],
    resources: Mapping[str, Any],
    variables: Mapping[str, str],
    transport: Literal["tcp", "ipc"],
) -> Plan:
    """Plan a launch, without doing any of it.

    Args:
        kernel: the kernelspec's name.
        cwd: the directory to start in, or None.
        settings: settings of the provisioner, over what the kernelspec says.
        resources: limits, over what the kernelspec says.
        variables: environment variables, besides those of this process.
        transport: how the kernel would be reached.

    Raises:
        KernelyardError: what a start would raise before it started anything.
    """
    manager = AsyncKernelManager(config=site_config(), kernel_name=kernel, transport=transport)
    environ = {**os.environ, **variables} if variables else None
    launch = manager.plan(cwd=cwd, provisioner_config=settings, resources=resources, env=environ)
    request = launch.request
    relay = Relay(request.provisioner, load_provisioner(request.provisioner, manager.config))
    place = redact(await relay.plan(request))
    inherited = {name for name in request.env if _is_inherited(name, launch.origins, variables)}
    shown = {name: value for name, value in request.env.items() if name not in inherited}
    return Plan(
        kernel=request.kernel_name,
        provisioner=request.provisioner,
        argv=redact_argv(request.command()),
        cwd=request.cwd,
        env={name: redact_text(value, name) for name, value in sorted(shown.items())},
        inherits_env=request.inherit_env or bool(inherited),
        transport=request.connection.transport,
        interrupt_mode=request.interrupt_mode,
        settings=redact(dict(request.settings)),
        resources=dict(request.resources.asked()),
        place=place,
        policies=_policies(),
        origins=_origins(request, launch.origins, inherited, transport),
    )


def _is_inherited(name: str, origins: Mapping[str, str], variables: Mapping[str, str]) -> bool:
    """Whether a variable comes from this process: a caller's `env` is the whole environment, with what was there."""
    return origins.get(f"env.{name}") == CALLER and name not in variables


def _policies() -> list[str]:
    return [name for name, plugin in load_plugins() if hasattr(plugin, "kernelyard_prepare")]


def _origins(
    request: LaunchRequest, origins: Mapping[str, str], inherited: set[str], transport: str
) -> dict[str, str]:
    """Return the layers of what is shown, with those of the caller named as the person knows them."""
    hidden = {f"env.{name}" for name in inherited}
    hidden |= {
        f"resources.{name}" for name, value in dataclasses.asdict(request.resources).items() if value is None
    }
    shown = {part: _named(layer) for part, layer in origins.items() if part not in hidden}
    return {**shown, "transport": "default" if transport == "tcp" else _OPTIONS}


def _named(layer: str) -> str:
    if layer == f"{CALLER}'s provisioner_config":
        return f"{_OPTIONS} (--set)"
    if layer == f"{CALLER}'s resources":
        return f"{_OPTIONS} (--resource)"
    return _OPTIONS if layer == CALLER else layer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
