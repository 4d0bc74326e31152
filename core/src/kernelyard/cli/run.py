"""`kernelyard run`: run code on a kernel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click

from kernelyard.cli._options import cwd_option, kernel_names, resource_option, set_option

__all__ = ["command"]


@click.command(short_help="Run code on a new kernel.")
@click.argument("file", required=False, metavar="[FILE | -]")
@click.option("-c", "code", metavar="CODE", help="The code to run, instead of a file.")
@click.option(
    "-k",
    "--kernel",
    metavar="NAME",
    default="python3",
    show_default=True,
    shell_complete=kernel_names,
    help="The kernelspec; `kernelyard specs list` shows those that there are.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="How long the code may run; the kernel is stopped then. Default: for ever.",
)
@click.option(
    "--startup-timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="How long the kernel has to answer after its launch.",
)
@cwd_option
@set_option
@resource_option
@click.option(
    "--transport",
    type=click.Choice(["tcp", "ipc"]),
    default="tcp",
    show_default=True,
    help="How to reach the kernel: ports, or socket files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each output as a line of JSON, and a last one.")
def command(
    *,
    file: str | None,
    code: str | None,
    kernel: str,
    timeout: float | None,
    startup_timeout: float,
    cwd: str | None,
    settings: dict[str, Any],
    resources: dict[str, Any],
    transport: Literal["tcp", "ipc"],
    as_json: bool,
) -> int:
    """Start a kernel, run the code of FILE on it, show the outputs as they come, and end the kernel.

    Without FILE and -c, and for -, the code is read from standard input. Otherwise code that asks for input gets it
    from there: from the person at the terminal, or line by line.

    Ctrl-C interrupts the code; a second one stops the kernel.

    \b
    Exit status:
      0    the code ran to its end
      1    the code raised an exception
      2    wrong usage, or a kernelspec or plugin that cannot be used
      3    the kernel could not be started, or died
      124  the code did not end within --timeout
      130  stopped by Ctrl-C
      141  nobody read the output any more
      143  stopped by SIGTERM (129 by SIGHUP)
    """  # noqa: D301 - click's mark for a paragraph that keeps its line ends
    if file is not None and code is not None:
        raise click.UsageError("Give either -c CODE or FILE, not both.")
    reads_stdin = code is None and file in (None, "-")
    source = _read(file) if code is None else code

    import asyncio

    from kernelyard.cli._runner import Job, Outcome, run_job
    from kernelyard.cli._screen import JsonScreen, Screen, TextScreen
    from kernelyard.cli._terminal import tell
    from kernelyard.errors import KernelyardError

    job = Job(
        code=source,
        kernel_name=kernel,
        launch={"cwd": cwd, "provisioner_config": settings, "resources": resources},
        transport=transport,
        may_ask=not reads_stdin,
        startup_timeout=startup_timeout,
        timeout=timeout,
    )
    screen: Screen = JsonScreen() if as_json else TextScreen()

    async def run() -> Outcome:
        outcome = await run_job(job, screen)
        if isinstance(outcome.error, KernelyardError):
            tell(outcome.error)
        await screen.finish(outcome.to_dict())
        return outcome

    return asyncio.run(run()).exit_code


def _read(file: str | None) -> str:
    """Return the code in a file, or what is piped in."""
    if file in (None, "-"):
        if file is None and sys.stdin.isatty():
            raise click.UsageError("There is nothing to run: give -c CODE or FILE, or pipe code in.")
        name, content = "standard input", sys.stdin.buffer.read()
    else:
        path = Path(str(file))
        if path.suffix == ".ipynb":
            raise click.UsageError(f"{path} is a notebook; this command runs plain code.")
        try:
            name, content = str(path), path.read_bytes()
        except OSError as error:
            raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{name} is not text in UTF-8: {error}.") from error
