"""Many kernels: at once, restarted when they die, and all gone at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
from kernelyard import AsyncMultiKernelManager, DuplicateKernelError, MultiKernelManager


@pytest.mark.anyio
@pytest.mark.timeout(240)
async def test_50_kernels_at_once(runtime_dir):
    """None fails, all answer, none is left."""
    mkm = AsyncMultiKernelManager()
    ids = await asyncio.gather(*(mkm.start_kernel() for _ in range(50)))
    assert len(mkm) == 50

    async def answer(kernel_id):
        async with mkm.get_kernel(kernel_id).client() as client:
            await client.wait_for_ready(200)
            return (await client.run("6 * 7")).data["text/plain"]

    assert await asyncio.gather(*(answer(kernel_id) for kernel_id in ids)) == ["42"] * 50
    pids = [mkm.get_kernel(kernel_id).provisioner.pid for kernel_id in ids]
    await mkm.shutdown_all()
    assert len(mkm) == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert list(runtime_dir.iterdir()) == []


@pytest.mark.anyio
async def test_starting_many_does_not_block_the_loop(script_kernel):
    """No turn of the loop takes longer than a few launches of a process do."""
    name = script_kernel("import time; time.sleep(600)")
    mkm = AsyncMultiKernelManager(default_kernel_name=name)
    loop, longest, last = asyncio.get_running_loop(), 0.0, 0.0
    last = loop.time()
    starting = asyncio.gather(*(mkm.start_kernel() for _ in range(20)))
    while not starting.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, loop.time() - last), loop.time()
    await starting
    await mkm.shutdown_all(now=True)
    assert longest < 0.5, longest


@pytest.mark.anyio
async def test_kernels_of_a_multi_manager_are_started_again(script_kernel):
    mkm = AsyncMultiKernelManager(default_kernel_name=script_kernel("import time; time.sleep(600)"))
    kernel_id = await mkm.start_kernel()
    restarted = asyncio.Event()
    mkm.add_restart_callback(kernel_id, restarted.set)
    os.kill(mkm.get_kernel(kernel_id).provisioner.pid, signal.SIGKILL)
    await asyncio.wait_for(restarted.wait(), 10)
    assert await mkm.is_alive(kernel_id)
    await mkm.shutdown_all(now=True)


@pytest.mark.anyio
async def test_a_failed_start_leaves_no_kernel_on_the_list(make_kernel):
    mkm = AsyncMultiKernelManager()
    with pytest.raises(KeyError, match="No such kernel named nonesuch"):
        await mkm.start_kernel(kernel_name="nonesuch")
    with pytest.raises(FileNotFoundError):
        await mkm.start_kernel(kernel_name=make_kernel("broken", ["/no/such/program"]))
    assert mkm.list_kernel_ids() == []


@pytest.mark.anyio
async def test_two_starts_of_one_id_at_once(script_kernel):
    mkm = AsyncMultiKernelManager(default_kernel_name=script_kernel("import time; time.sleep(600)"))
    results = await asyncio.gather(
        mkm.start_kernel(kernel_id="one"), mkm.start_kernel(kernel_id="one"), return_exceptions=True
    )
    assert results[0] == "one"
    assert isinstance(results[1], DuplicateKernelError)
    await mkm.shutdown_all(now=True)


@pytest.mark.anyio
async def test_every_operation_by_id(script_kernel):
    mkm = AsyncMultiKernelManager(default_kernel_name=script_kernel("import time; time.sleep(600)"))
    kernel_id = await mkm.start_kernel(kernel_id="mine")
    manager = mkm.get_kernel(kernel_id)
    pid = manager.provisioner.pid
    await mkm.restart_kernel(kernel_id, now=True)
    assert manager.provisioner.pid != pid
    assert mkm.get_connection_info(kernel_id)["shell_port"] == manager.shell_port
    assert manager.connection_file.endswith("kernel-mine.json")
    await mkm.signal_kernel(kernel_id, signal.SIGCONT)
    await mkm.shutdown_kernel(kernel_id, now=True, restart=True)
    assert kernel_id in mkm
    assert Path(manager.connection_file).exists()
    await mkm.shutdown_kernel(kernel_id)
    assert kernel_id not in mkm
    assert not Path(manager.connection_file).exists()


def test_sync_manager_from_several_threads(script_kernel):
    mkm = MultiKernelManager(default_kernel_name=script_kernel("import time; time.sleep(600)"))
    threads = [threading.Thread(target=mkm.start_kernel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mkm) == 8
    mkm.shutdown_all(now=True)
    assert len(mkm) == 0
