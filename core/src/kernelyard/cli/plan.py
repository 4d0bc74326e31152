"""`kernelyard plan`: the launch that would happen, and who decided what about it."""

from __future__ import annotations

from typing import Any, Literal

import click

from kernelyard.cli import _terminal
from kernelyard.cli._options import as_json as json_option
from kernelyard.cli._options import cwd_option, kernel_names, parse_pairs, resource_option, set_option

__all__ = ["command"]


@click.command(short_help="Show the launch of a kernel, without launching it.")
@click.argument("kernel", shell_complete=kernel_names)
@cwd_option
@set_option
@resource_option
@click.option(
    "--env",
    "variables",
    metavar="KEY=VALUE",
    multiple=True,
    callback=parse_pairs,
    help="An environment variable, besides those of this process. Repeatable.",
)
@click.option(
    "--transport",
    type=click.Choice(["tcp", "ipc"]),
    default="tcp",
    show_default=True,
    help="How the kernel is reached.",
)
@json_option
def command(
    *,
    kernel: str,
    cwd: str | None,
    settings: dict[str, Any],
    resources: dict[str, Any],
    variables: dict[str, str],
    transport: Literal["tcp", "ipc"],
    as_json: bool,
) -> None:
    """Show the launch of KERNEL that would happen: command, environment, settings, limits, and what the place gets.

    Beside each part stands which layer set it. Nothing is started, reserved or written. Values that look like
    secrets are masked, by the names that they have; look before you show it to others. Policies are named, but not
    asked.
    """
    import asyncio

    from kernelyard.cli._planning import Plan, plan_launch

    plan: Plan = asyncio.run(
        plan_launch(
            kernel,
            cwd=cwd,
            settings=settings,
            resources=resources,
            variables=variables,
            transport=transport,
        )
    )
    if as_json:
        _terminal.print_json(plan.to_dict())
    else:
        _terminal.print_table(("PART", "VALUE", "SET BY"), plan.rows())
