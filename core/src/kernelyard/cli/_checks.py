"""Whether the installed plugins can be used: each is loaded and asked, all at the same time and under a deadline."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from traitlets.config import Config

from kernelyard._plugins import (
    PLUGIN_GROUP,
    PROVISIONER_GROUP,
    Relay,
    entry_points,
    load_plugin,
    load_provisioner,
)
from kernelyard.cli._site import site_config
from kernelyard.errors import KernelyardError

__all__ = ["DEADLINE", "Check", "check_all"]

#: Seconds that a provisioner has to say whether its place can be used.
DEADLINE = 10.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is known about one plugin.

    Attributes:
        name: its entry point's name.
        kind: "provisioner", "policy", "observer", or "plugin" if it cannot be loaded and so is not known to be either.
        object: what its entry point names.
        package: the distribution that it comes from, or None.
        package_version: that distribution's version, or None.
        ok: whether it can be used now.
        version: the version of what it uses, as it says; empty if it says nothing.
        detail: what is there, or why it cannot be used.
        hint: what to do; empty if nothing is known.
    """

    name: str
    kind: str
    object: str
    package: str | None
    package_version: str | None
    ok: bool
    version: str = ""
    detail: str = ""
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return dataclasses.asdict(self)


async def check_all(deadline: float = DEADLINE) -> list[Check]:
    """Check every plugin that is installed.

    Args:
        deadline: seconds that each has; they run at the same time.

    Returns:
        The provisioners by name, then the other plugins by name.
    """
    provisioners = sorted(entry_points(PROVISIONER_GROUP).items())
    others = sorted(entry_points(PLUGIN_GROUP).items())
    config = site_config()
    checks = await asyncio.gather(*(_check_provisioner(point, config, deadline) for _, point in provisioners))
    return [*checks, *(_check_plugin(point) for _, point in others)]


async def _check_provisioner(point: EntryPoint, config: Config, deadline: float) -> Check:
    try:
        relay = Relay(point.name, load_provisioner(point.name, config), plugins=())
        said = await asyncio.wait_for(relay.check(), deadline)
    except KernelyardError as error:
        return _check(point, "provisioner", ok=False, detail=error.message, hint=error.hint)
    except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
        why = f"It did not answer within {deadline:g} s."
        return _check(point, "provisioner", ok=False, detail=why)
    return _check(
        point,
        "provisioner",
        ok=bool(said.get("ok")),
        **{name: str(said.get(name) or "") for name in ("version", "detail", "hint")},
    )


def _check_plugin(point: EntryPoint) -> Check:
    try:
        plugin = load_plugin(point)
    except KernelyardError as error:
        return _check(point, "plugin", ok=False, detail=error.message, hint=error.hint)
    return _check(point, "policy" if hasattr(plugin, "kernelyard_prepare") else "observer", ok=True)


def _check(point: EntryPoint, kind: str, **details: Any) -> Check:
    package = point.dist
    return Check(
        name=point.name,
        kind=kind,
        object=point.value,
        package=None if package is None else package.name,
        package_version=None if package is None else package.version,
        **details,
    )
