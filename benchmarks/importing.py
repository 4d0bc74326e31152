"""How long an import takes in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figures import Bound, Figure, in_turn, median

__all__ = ["measure"]

STATEMENTS = {
    "ours": "import kernelyard",
    "ours, to start a kernel": "from kernelyard import KernelManager, BlockingKernelClient",
    "ours, a client": "from kernelyard import BlockingKernelClient",
    "theirs": "import jupyter_client",
    "floor": "import asyncio, zmq, traitlets.config",
}


def measure(pairs: int, directory: Path) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """Measure inside the interpreter: its own start is not in the figures."""
    samples = in_turn({side: partial(_import, statement) for side, statement in STATEMENTS.items()}, pairs)
    for side in ("ours", "ours, to start a kernel", "ours, a client"):
        yield Figure(
            name=STATEMENTS[side],
            ours=median(samples, side),
            theirs=median(samples, "theirs"),
            floor=None if side == "ours" else median(samples, "floor"),
            bound=Bound(0.5),
        )


def _import(statement: str) -> float:
    script = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
