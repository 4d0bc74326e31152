"""How long an import takes in a fresh interpreter, and a whole program that starts a kernel, uses it and ends it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figures import Bound, Figure, in_turn, median, seconds

__all__ = ["imports", "program"]

#: The names of `kernelyard` are loaded when they are first used, so importing it alone says little.
STATEMENTS = {
    "ours": "import kernelyard",
    "ours, a client": "from kernelyard import BlockingKernelClient",
    "ours, a manager": "from kernelyard import KernelManager",
    "ours, both": "from kernelyard import KernelManager, BlockingKernelClient",
    "theirs": "import jupyter_client",
    "floor": "import asyncio, zmq, traitlets.config",
}

#: Which of them have to take at most half of jupyter_client's time. A manager needs traitlets, and both need zmq
#: and asyncio: these three alone take about 0.45 of it.
HALF = ("ours", "ours, a client")

PROGRAM = """
from {module} import start_new_kernel
manager, client = start_new_kernel()
client.execute_interactive("6 * 7", output_hook=lambda message: None)
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


def imports(pairs: int, directory: Path) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """Measure processor time inside the interpreter: its own start, and what else the machine does, are not in it."""
    samples = in_turn({side: partial(_import, statement) for side, statement in STATEMENTS.items()}, pairs)
    for side, statement in STATEMENTS.items():
        if side.startswith("ours"):
            yield Figure(
                name=statement,
                ours=median(samples, side),
                theirs=median(samples, "theirs"),
                floor=median(samples, "floor") if "both" in side else None,
                bound=Bound(0.5 if side in HALF else 0.75),
            )


def program(pairs: int, directory: Path) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """The whole of a small program, from the start of its interpreter to the end of its process."""

    def run(module: str) -> float:
        command = [sys.executable, "-c", PROGRAM.format(module=module)]
        return seconds(partial(subprocess.run, command, check=True, capture_output=True))

    sides = {"ours": partial(run, "kernelyard"), "theirs": partial(run, "jupyter_client.manager")}
    samples = in_turn(sides, pairs)
    yield Figure(
        name="a program: import, start a kernel, run a cell, kill it",
        ours=median(samples, "ours"),
        theirs=median(samples, "theirs"),
        bound=Bound(1.0),
    )


def _import(statement: str) -> float:
    script = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
