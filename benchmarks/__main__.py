"""The command: `python -m benchmarks [NAME ...] [--pairs N] [--json]`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import executing, importing, lifecycle, many
from benchmarks.figures import Figure


@dataclass(frozen=True)
class Benchmark:
    """What can be measured.

    Attributes:
        measure: takes the number of pairs and a directory for files, and yields the figures.
        pairs: how many, unless the caller says.
    """

    measure: Callable[[int, Path], Iterator[Figure]]
    pairs: int


BENCHMARKS: Mapping[str, Benchmark] = {
    "import": Benchmark(importing.imports, 15),
    "program": Benchmark(importing.program, 9),
    "echo": Benchmark(executing.with_echo_kernel, 15),
    "execute": Benchmark(executing.with_ipykernel, 35),
    "readiness": Benchmark(lifecycle.readiness, 15),
    "start": Benchmark(lifecycle.start, 15),
    "shutdown": Benchmark(lifecycle.shutdown, 11),
    "restart": Benchmark(lifecycle.restart, 7),
    "deaths": Benchmark(lifecycle.deaths, 5),
    "displays": Benchmark(many.displays, 7),
    "kernels": Benchmark(many.kernels, 1),
}


def main() -> int:
    """Run the benchmarks that were asked for; return 1 if a bound is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--pairs", type=int, help="turns of both sides; more are more exact")
    parser.add_argument("--json", action="store_true", help="print the figures for programs")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if options.pairs is not None and options.pairs < 1:
        parser.error("--pairs must be 1 or more")
    logging.disable(logging.WARNING)  # both libraries tell of the kernels that are killed here
    console = Console(stderr=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="kernelyard-benchmarks-") as temporary:
        directory = keep_to(Path(temporary))
        for name in options.names or BENCHMARKS:
            begin = time.perf_counter()
            with console.status(f"measuring: {name}"):
                benchmark = BENCHMARKS[name]
                figures += benchmark.measure(options.pairs or benchmark.pairs, directory)
            console.print(f"{name}: {time.perf_counter() - begin:.0f} s", style="dim")
    if options.json:
        print(json.dumps([figure.to_dict() for figure in figures], indent=2))
    else:
        # Into a file or a pipe, lines are as long as they need to be.
        Console(width=None if sys.stdout.isatty() else 140).print(table(figures))
    return int(any(figure.ok is False for figure in figures))


def keep_to(directory: Path) -> Path:
    """Have all files of Jupyter, of IPython and of the kernels in a directory; return it."""
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        path = directory / variable.lower()
        path.mkdir(mode=0o700)
        os.environ[variable] = str(path)
    os.environ.pop("JUPYTER_PATH", None)
    return directory


def table(figures: list[Figure]) -> Table:
    """Return the figures as a table for people."""
    title = (
        f"kernelyard {version('kernelyard-core')} and jupyter_client {version('jupyter_client')}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
    )
    result = Table(title=title)
    result.add_column("median of pairs taken in turn", overflow="fold")
    for heading in ("ours", "theirs", "floor", "ratio", "bound"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("ok")
    for figure in figures:
        verdict = {None: "", True: "[green]ok[/]", False: "[bold red]NO[/]"}[figure.ok]
        result.add_row(
            figure.name,
            _number(figure.ours, figure.unit),
            _number(figure.theirs, figure.unit),
            _number(figure.floor, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.3f}",
            _bound(figure),
            verdict,
        )
    return result


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:.0f} {unit}"


def _bound(figure: Figure) -> str:
    if figure.bound is None:
        return ""
    limit = f"{figure.bound.limit:g}"
    return f"ratio ≤ {limit}" if figure.bound.of == "ratio" else f"≤ {limit} {figure.unit}"


if __name__ == "__main__":
    sys.exit(main())
