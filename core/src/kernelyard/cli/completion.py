"""`kernelyard completion`: a script that makes a shell complete the command's words."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command(short_help="Print a script for completion by the shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands, options and the names of kernels in SHELL.

    \b
    bash:  kernelyard completion bash > ~/.local/share/bash-completion/completions/kernelyard
    zsh:   kernelyard completion zsh > "${fpath[1]}/_kernelyard"
    fish:  kernelyard completion fish > ~/.config/fish/completions/kernelyard.fish
    """  # noqa: D301 - click's mark for a paragraph that keeps its line ends
    from click.shell_completion import get_completion_class

    from kernelyard.cli._app import app

    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"The installed click knows no completion for {shell}.")
    click.echo(completion(app, {}, "kernelyard", "_KERNELYARD_COMPLETE").source())
