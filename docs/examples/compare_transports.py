"""Compares tcp with ipc: from the start to the first answer, and a request with its reply, as medians of one run.

python docs/examples/compare_transports.py [STARTS] [REQUESTS]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from kernelyard import AsyncKernelManager

TRANSPORTS = ("tcp", "ipc")


async def start(transport: str) -> tuple[float, AsyncKernelManager]:
    """Start a kernel; return the seconds until it answered."""
    manager = AsyncKernelManager(transport=transport)
    begin = time.perf_counter()
    await manager.start_kernel()
    await manager.wait_for_ready()
    return time.perf_counter() - begin, manager


async def compare(starts: int, requests: int) -> None:
    """Take turns, so that both are disturbed alike by what else the machine does."""
    until_ready: dict[str, list[float]] = {transport: [] for transport in TRANSPORTS}
    round_trip: dict[str, list[float]] = {transport: [] for transport in TRANSPORTS}
    for _ in range(starts):
        for transport in TRANSPORTS:
            seconds, manager = await start(transport)
            until_ready[transport].append(seconds)
            await manager.shutdown_kernel(now=True)

    managers = {transport: (await start(transport))[1] for transport in TRANSPORTS}
    clients = {transport: manager.client() for transport, manager in managers.items()}
    for client in clients.values():
        client.start_channels()
        await client.wait_for_ready(60)
    for _ in range(requests):
        for transport, client in clients.items():
            begin = time.perf_counter()
            await client.kernel_info(reply=True, timeout=60)
            round_trip[transport].append(time.perf_counter() - begin)
    for transport in TRANSPORTS:
        clients[transport].stop_channels()
        await managers[transport].shutdown_kernel(now=True)

    for what, taken in (("start to ready", until_ready), ("request and reply", round_trip)):
        tcp, ipc = (statistics.median(taken[transport]) * 1000 for transport in TRANSPORTS)
        print(f"{what}: tcp {tcp:.2f} ms, ipc {ipc:.2f} ms, ipc/tcp {ipc / tcp:.2f}")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(compare(*(numbers + [20, 1000][len(numbers) :])))
