"""Options that several commands have, and what their values mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

__all__ = [
    "as_json",
    "cwd_option",
    "kernel_names",
    "parse_pairs",
    "resource_option",
    "set_option",
    "value_of",
]


def kernel_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's signature
    """Return the names of kernelspecs that begin with what was typed, for completion by the shell."""
    from kernelyard.kernelspec import KernelSpecManager

    found = KernelSpecManager().find_kernel_specs()
    return sorted(name for name in found if name.startswith(incomplete.lower()))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def value_of(text: str) -> Any:
    """Return what a text means as JSON, or the text itself if it is not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def parse_pairs(ctx: click.Context, param: click.Parameter, words: Sequence[str]) -> dict[str, str]:
    """Return `KEY=VALUE` words as a mapping of texts; of two with one key the last one counts."""
    pairs = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{word!r} is not of the form KEY=VALUE.", ctx=ctx, param=param)
        pairs[name] = text
    return pairs


def _values(ctx: click.Context, param: click.Parameter, words: Sequence[str]) -> dict[str, Any]:
    return {name: value_of(text) for name, text in parse_pairs(ctx, param, words).items()}


set_option = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_values,
    help="A setting of the provisioner, over what the kernelspec says. VALUE is JSON, or else text. Repeatable.",
)
resource_option = click.option(
    "--resource",
    "resources",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_values,
    help="A limit (cpus, memory, soft_memory, pids, gpus, network), over what the kernelspec says. Repeatable.",
)
cwd_option = click.option(
    "--cwd", metavar="DIR", help="The directory to start the kernel in, as the place where it runs sees it."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
