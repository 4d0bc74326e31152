"""`kernelyard provisioners`: which places kernels can run in, and which other plugins there are."""

from __future__ import annotations

from typing import Any

import click

from kernelyard.cli._options import as_json as json_option

__all__ = ["command"]


@click.command(short_help="Show the installed provisioners and plugins, and whether they work.")
@json_option
def command(as_json: bool) -> None:
    """Show the provisioners that are installed, the packages that they come from, and whether they can be used now.

    Observers and policies, which are told of every kernel or asked about it, are listed too.
    """
    import asyncio

    from kernelyard.cli import _terminal
    from kernelyard.cli._checks import check_all

    found = [check.to_dict() for check in asyncio.run(check_all())]
    if as_json:
        _terminal.print_json(found)
        return
    _terminal.print_table(
        ("NAME", "KIND", "PACKAGE", "STATUS", "DETAIL"),
        [
            (each["name"], each["kind"], _package(each), "ok" if each["ok"] else "not usable", _detail(each))
            for each in found
        ],
    )


def _package(check: dict[str, Any]) -> str:
    return f"{check['package']} {check['package_version']}" if check["package"] else "unknown"


def _detail(check: dict[str, Any]) -> str:
    return "\n".join(text for text in (check["detail"], check["hint"] and f"hint: {check['hint']}") if text)
