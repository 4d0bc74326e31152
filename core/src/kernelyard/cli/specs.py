"""`kernelyard specs`: look at kernelspecs, install and remove them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelyard.cli import _terminal
from kernelyard.cli._options import as_json as json_option
from kernelyard.cli._options import kernel_names

if TYPE_CHECKING:
    from kernelyard.kernelspec import KernelSpec

__all__ = ["command"]


@click.group(short_help="List, show, install and remove kernelspecs.")
def command() -> None:
    """Look at kernelspecs, install and remove them, in the directories that all of Jupyter uses."""


@command.command("list", short_help="List the kernelspecs.")
@json_option
def list_specs(as_json: bool) -> None:
    """List the kernelspecs that can be found; of those that cannot be used it says why."""
    from kernelyard._plugins import PROVISIONER_GROUP, entry_points
    from kernelyard.errors import KernelSpecError
    from kernelyard.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    installed = entry_points(PROVISIONER_GROUP)
    listed: list[dict[str, Any]] = []
    for name, directory in sorted(manager.find_kernel_specs().items()):
        entry: dict[str, Any] = {"name": name, "resource_dir": directory, "spec": None, "error": None}
        try:
            spec = manager.get_kernel_spec(name)
        except KernelSpecError as error:
            entry["error"] = str(error)
        else:
            where = spec.provisioner_name
            entry.update(spec=spec.to_dict(), provisioner=where, provisioner_installed=where in installed)
        listed.append(entry)
    if as_json:
        _terminal.print_json(listed)
        return
    _terminal.print_table(("NAME", "LANGUAGE", "DISPLAY NAME", "PROVISIONER", "DIRECTORY"), map(_row, listed))


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    spec = entry["spec"]
    if spec is None:
        return entry["name"], "", "cannot be used", "", entry["error"]
    where = entry["provisioner"] + ("" if entry["provisioner_installed"] else " (not installed)")
    return entry["name"], spec["language"], spec["display_name"], where, entry["resource_dir"]


@command.command(short_help="Show what a kernelspec says.")
@click.argument("name", shell_complete=kernel_names)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what the kernel.json of NAME says, with what looks like a secret masked; with --json as it is."""
    from kernelyard.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec(name)
    if as_json:
        shown = {"name": name.lower(), "resource_dir": spec.resource_dir, "spec": spec.to_dict()}
        _terminal.print_json(shown)
    else:
        _terminal.print_table(("FIELD", "VALUE"), _fields(name.lower(), spec))


def _fields(name: str, spec: KernelSpec) -> list[tuple[str, str]]:
    import json
    import shlex

    from kernelyard._redact import redact, redact_argv, redact_text

    stanza = spec.metadata.get("kernel_provisioner", {})
    others = {key: value for key, value in spec.metadata.items() if key != "kernel_provisioner"}
    rows = [
        ("name", name),
        ("display name", spec.display_name),
        ("language", spec.language),
        ("directory", spec.resource_dir),
        ("command", shlex.join(redact_argv(spec.argv))),
        ("interrupted by", spec.interrupt_mode),
        ("provisioner", spec.provisioner_name),
        *((f"  {key}", json.dumps(redact(stanza[key]))) for key in ("config", "resources") if key in stanza),
        *((f"env {key}", redact_text(value, key)) for key, value in spec.env.items()),
        *((f"metadata {key}", json.dumps(redact(value, key))) for key, value in others.items()),
    ]
    return [(field, value) for field, value in rows if value]


@command.command(short_help="Install a kernelspec.")
@click.argument("directory", metavar="DIR")
@click.option("--name", help="The kernel's name. Default: the name of DIR.")
@click.option("--user", is_flag=True, help="Install for this user.")
@click.option("--prefix", metavar="PATH", help="Install into PATH/share/jupyter/kernels.")
@click.option("--sys-prefix", is_flag=True, help="Install into the environment of this Python.")
def install(directory: str, name: str | None, user: bool, prefix: str | None, sys_prefix: bool) -> None:
    """Install a copy of DIR, which holds a kernel.json, in place of any kernelspec of that name.

    Without an option it is installed for the whole system.
    """
    from kernelyard.kernelspec import KernelSpecManager

    if sum((user, prefix is not None, sys_prefix)) > 1:
        raise click.UsageError("Give at most one of --user, --prefix and --sys-prefix.")
    manager = KernelSpecManager()
    try:
        path = manager.install_kernel_spec(
            directory, name, user=user, prefix=sys.prefix if sys_prefix else prefix
        )
    except PermissionError as error:
        raise _terminal.CommandError(
            f"{directory} cannot be installed: {error.filename}: {error.strerror}.",
            hint="--user installs it for you only, --sys-prefix into the environment of this Python.",
        ) from error
    except OSError as error:
        raise _terminal.CommandError(f"{directory} cannot be installed: {error}.") from error
    except ValueError as error:
        raise _terminal.CommandError(str(error)) from error
    click.echo(f"Installed {Path(path).name} in {path}")


@command.command(short_help="Remove kernelspecs.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=kernel_names)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(names: tuple[str, ...], yes: bool) -> int:
    """Remove kernelspecs, their directories with all that is in them; asks before, at a terminal."""
    from kernelyard.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    found = manager.find_kernel_specs()
    for name in names:
        if name.lower() not in found:
            manager.get_kernel_spec(name)  # raises the error that names those that there are
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("There is nobody to ask whether to remove them: give -y to remove them.")
        click.echo("\n".join(f"{name}  {found[name.lower()]}" for name in names), err=True)
        if not click.confirm("Remove?", err=True):
            return 1
    for name in dict.fromkeys(name.lower() for name in names):
        try:
            click.echo(f"Removed {manager.remove_kernel_spec(name)}")
        except OSError as error:
            raise _terminal.CommandError(f"{name} cannot be removed: {error}.") from error
    return 0
