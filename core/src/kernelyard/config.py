"""Settings: declared as traits, merged from their layers, validated once, and from then on plain frozen values.

A provisioner's settings come from three layers, the later one wins: the site's traitlets configuration
(``c.DockerProvisioner.memory = "2g"``), the kernelspec's ``config``, and ``start_kernel(provisioner_config=...)``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from traitlets import HasTraits, Set, TraitError, Unicode
from traitlets.config import LoggingConfigurable

from kernelyard.errors import InvalidConfigError
from kernelyard.types import Resources

__all__ = ["Layer", "ProvisionerConfig", "nearest", "parse_bytes", "parse_resources", "resolve_settings"]


class ProvisionerConfig(LoggingConfigurable):
    """Base of a provisioner that has settings.

    Every trait tagged ``config=True`` is a setting, under its own name, in the kernelspec and in the site's
    configuration. Hooks read the merged values from `LaunchRequest.settings`, never from the traits: one object
    serves many kernels. Its constructor must be cheap, and must do no I/O.
    """

    locked = Set(
        Unicode(),
        help="Names of settings that only the site's configuration may set: a kernelspec or a caller that sets one "
        "of them is refused.",
    ).tag(config=True)


@dataclass(frozen=True)
class Layer:
    """Some settings, and where they come from.

    Attributes:
        source: for messages: a file's path, or the call.
        values: the settings.
    """

    source: str
    values: Mapping[str, Any]


def resolve_settings(
    provisioner: object, name: str, layers: Collection[Layer]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Merge and validate a provisioner's settings.

    Args:
        provisioner: the provisioner; if it declares no traits, its settings are passed on as they are.
        name: its name, for messages.
        layers: what overrides the site's configuration; the last one wins.

    Returns:
        Every setting's value, and for each where it comes from: "default", "site configuration" or a layer's source.

    Raises:
        InvalidConfigError: a setting that is unknown, locked, or of a wrong type.
    """
    if not isinstance(provisioner, HasTraits):
        merged = {key: (value, layer.source) for layer in layers for key, value in layer.values.items()}
        return {k: v for k, (v, _) in merged.items()}, {k: source for k, (_, source) in merged.items()}

    declared = sorted(set(provisioner.traits(config=True)) - {"locked"})
    origins = {key: _own_origin(provisioner, key) for key in declared}
    locked: Collection[str] = getattr(provisioner, "locked", ())
    scratch = _twin(provisioner) if any(layer.values for layer in layers) else provisioner
    for layer in layers:
        for key, value in layer.values.items():
            if key not in declared:
                raise InvalidConfigError(
                    f"{layer.source}: provisioner {name!r} has no setting {key!r}.",
                    provisioner=name,
                    hint=f"{nearest(key, declared)}It knows: {', '.join(declared) or 'none'}.",
                )
            if key in locked:
                raise InvalidConfigError(
                    f"{layer.source}: the setting {key!r} of provisioner {name!r} is locked by this site.",
                    provisioner=name,
                    hint="Remove it: the site's value holds.",
                )
            try:
                setattr(scratch, key, value)
            except TraitError as error:
                trait = scratch.traits()[key]
                raise InvalidConfigError(
                    f"{layer.source}: {key!r} of provisioner {name!r} cannot be {value!r} "
                    f"({type(value).__name__}): it must be {trait.info()}.",
                    provisioner=name,
                    hint=str(trait.help),
                ) from error
            origins[key] = layer.source
    return {key: getattr(scratch, key) for key in declared}, origins


def _twin(provisioner: HasTraits) -> HasTraits:
    """A second object with the same site configuration, to validate values on without touching the shared one."""
    if isinstance(provisioner, LoggingConfigurable):
        return type(provisioner)(config=provisioner.config)
    return type(provisioner)()


def _own_origin(provisioner: HasTraits, key: str) -> str:
    config = getattr(provisioner, "config", None)
    sections = [cls.__name__ for cls in type(provisioner).__mro__]
    configured = config is not None and any(key in config[s] for s in sections if s in config)
    return "site configuration" if configured else "default"


def nearest(word: str, known: Collection[str]) -> str:
    """Return "Did you mean ...? " if a known word is near `word`, else an empty string."""
    found = difflib.get_close_matches(word.lower(), {k.lower(): k for k in known}, n=1)
    if not found:
        return ""
    original = next(k for k in known if k.lower() == found[0])
    return f"Did you mean {original!r}? "


_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_BYTES = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE | re.ASCII)


def parse_bytes(value: object) -> int:
    """Return a number of bytes from 1073741824, "512m", "2g", "1.5GiB". Units are powers of 1024.

    Raises:
        ValueError: it is not an amount of memory.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    amount = 0 if match is None else int(float(match[1]) * _UNITS[match[2].lower()])
    if amount <= 0:
        raise ValueError(f'an amount of memory such as 1073741824, "512m" or "2g" is needed, got {value!r}')
    return amount


def parse_resources(layers: Collection[Layer]) -> Resources:
    """Merge and validate the `resources` of a kernelspec and of a caller; the last layer wins.

    Raises:
        InvalidConfigError: an unknown resource, or a value that it cannot have.
    """
    fields = tuple(Resources.__dataclass_fields__)
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if key not in fields:
                raise InvalidConfigError(
                    f"{layer.source}: there is no resource {key!r}.",
                    hint=f"{nearest(key, fields)}There are: {', '.join(fields)}.",
                )
            try:
                merged[key] = None if value is None else _parse_resource(key, value)
            except ValueError as error:
                raise InvalidConfigError(f"{layer.source}: resource {key!r}: {error}.") from error
    return Resources(**merged)


def _parse_resource(key: str, value: Any) -> float | int | str:
    if key in ("memory", "soft_memory"):
        return parse_bytes(value)
    if key == "network":
        if value not in ("none", "default"):
            raise ValueError(f'"none" or "default" is needed, got {value!r}')
        return str(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key == "cpus":
        if isinstance(value, str):
            value, is_number = float(value), True
        if not is_number or not 0 < value < float("inf"):
            raise ValueError(f"a number of cores above 0 is needed, such as 0.5 or 2, got {value!r}")
        return float(value)
    least = 0 if key == "gpus" else 1
    if not isinstance(value, int) or not is_number or value < least:
        raise ValueError(f"a whole number of at least {least} is needed, got {value!r}")
    return value
