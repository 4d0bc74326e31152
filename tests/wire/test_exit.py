"""A program that ends without stopping what it started."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKING = """
from kernelyard import start_new_kernel
manager, client = start_new_kernel()
print(client.run("6 * 7").data["text/plain"], flush=True)
"""
ASYNC = """
import asyncio
from kernelyard import start_new_async_kernel
async def main():
    global manager, client
    manager, client = await start_new_async_kernel()
    print((await client.run("6 * 7")).data["text/plain"], flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [BLOCKING, ASYNC], ids=["blocking", "async"])
def test_a_program_ends_that_stops_neither_client_nor_kernel(program):
    """A ZeroMQ context waits for its open sockets: for ever, if nobody closes them."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "42")


def test_a_program_ends_with_its_own_error_while_a_client_is_open():
    program = f"{BLOCKING}raise SystemExit('it went wrong')"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "it went wrong" in done.stderr
