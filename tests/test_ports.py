"""Ports: never given to two, never lost to others, honoured when configured."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from kernelyard import AsyncKernelManager, ExitReason, KernelManager, KernelStartError
from kernelyard.connection import reserve_ports
from kernelyard.errors import PortConflictError
from kernelyard.types import CHANNELS

LINUX = sys.platform == "linux"

#: The squatter's own loopback address: every port on it is taken, while other tests have theirs on 127.0.0.1.
ADDRESS = "127.7.7.7"

#: Takes every ephemeral port that it can, again and again, and says on its first line how many it has.
SQUATTER = """
import resource, socket, sys, time
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held, told = [], False
end = time.monotonic() + 120
while time.monotonic() < end:
    try:
        taken = socket.socket()
        taken.bind((sys.argv[1], 0))
        taken.listen(1)
        held.append(taken)
        continue
    except OSError:
        taken.close()
    if not told:
        print(len(held), flush=True)
        told = True
    time.sleep(0.001)
"""

#: Starts so many kernels, lets each answer a heartbeat, kills it, and prints how many ports there were and what failed.
STARTER = """
import asyncio, json, sys
from kernelyard import AsyncMultiKernelManager
from traitlets.config import Config

async def main():
    config = Config({"AsyncKernelManager": {"ip": sys.argv[3]}})
    mkm = AsyncMultiKernelManager(config=config)
    gate = asyncio.Semaphore(8)
    ports, failures = [], []

    async def one():
        async with gate:
            try:
                kernel_id = await mkm.start_kernel(kernel_name=sys.argv[1])
                km = mkm.get_kernel(kernel_id)
                ports.extend(km.ports)
                await answer(km)
                await mkm.shutdown_kernel(kernel_id, now=True)
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")

    async def answer(km):
        client = km.client()
        client.start_channels(shell=False, iopub=False, stdin=False, control=False)
        assert await client.hb_channel.beat(60), "no heartbeat"
        client.stop_channels()

    await asyncio.gather(*(one() for _ in range(int(sys.argv[2]))))
    print(json.dumps({"ports": len(ports), "failures": failures}))

asyncio.run(main())
"""

#: As little as a kernel can be: binds its five ports with ZeroMQ, echoes heartbeats.
BARE_KERNEL = """
import json, sys, zmq
info = json.load(open(sys.argv[1]))
context = zmq.Context()
kinds = {"shell": zmq.ROUTER, "iopub": zmq.PUB, "stdin": zmq.ROUTER, "control": zmq.ROUTER, "hb": zmq.ROUTER}
sockets = {}
for name, kind in kinds.items():
    sockets[name] = context.socket(kind)
    sockets[name].bind(f"tcp://{info['ip']}:{info[name + '_port']}")
while True:
    sockets["hb"].send_multipart(sockets["hb"].recv_multipart())
"""


@pytest.mark.skipif(not LINUX, reason="reservations need Linux's rules of SO_REUSEADDR")
@pytest.mark.timeout(300)
def test_200_kernels_from_several_processes_beside_a_squatter(script_kernel):
    name = script_kernel(BARE_KERNEL, name="bare")
    squatter = subprocess.Popen([sys.executable, "-c", SQUATTER, ADDRESS], stdout=subprocess.PIPE, text=True)
    try:
        assert squatter.stdout is not None
        squatter.stdout.readline()
        starters = [
            subprocess.Popen(
                [sys.executable, "-c", STARTER, name, "50", ADDRESS], stdout=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        results = [json.loads(starter.communicate(timeout=240)[0]) for starter in starters]
    finally:
        squatter.kill()
        squatter.communicate()
    assert [result["failures"] for result in results] == [[], [], [], []]
    assert sum(result["ports"] for result in results) == 1000


@pytest.mark.skipif(not LINUX, reason="reservations need Linux's rules of SO_REUSEADDR")
def test_a_reserved_port_is_nobody_elses():
    with reserve_ports("127.0.0.1", dict.fromkeys(CHANNELS, 0)) as reservation:
        assert len(set(reservation.ports.values())) == 5
        for port in reservation.ports.values():
            with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", port))
        others = [reserve_ports("127.0.0.1", dict.fromkeys(CHANNELS, 0)) for _ in range(50)]
        taken = [port for other in others for port in other.ports.values()]
        assert not set(taken) & set(reservation.ports.values())
        assert len(set(taken)) == 250
        for other in others:
            other.close()


def test_the_reservation_ends_with_the_kernel(script_kernel):
    km = KernelManager(kernel_name=script_kernel("import time; time.sleep(600)"))
    km.start_kernel()
    port = km.shell_port
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    km.kill_kernel()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))


def test_a_configured_port_that_is_taken_is_refused_with_a_reason(script_kernel, runtime_dir):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        km = KernelManager(kernel_name=script_kernel("import time; time.sleep(600)"), iopub_port=port)
        with pytest.raises(PortConflictError, match=rf"(?s){port}.*iopub_port"):
            km.start_kernel()
        assert list(runtime_dir.iterdir()) == []


@pytest.mark.anyio
async def test_a_port_lost_during_a_restart_is_replaced_and_clients_follow():
    km = AsyncKernelManager()
    await km.start_kernel()
    client = km.client()
    client.start_channels()
    await client.wait_for_ready(60)
    await client.run("x = 1")
    lost = km.iopub_port
    cleanup, taken = type(km._kernel.relay).cleanup, socket.socket()

    async def then_somebody_takes_it(relay, handle, *, restart=False):
        await cleanup(relay, handle, restart=restart)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", lost))
        taken.listen()

    km._kernel.relay.cleanup = then_somebody_takes_it.__get__(km._kernel.relay)
    try:
        await km.restart_kernel(now=True)
        del km._kernel.relay.cleanup
        assert km.iopub_port != lost
        await client.wait_for_ready(60)
        assert (await client.run("6 * 7")).data["text/plain"] == "42"
    finally:
        taken.close()
        client.stop_channels()
        await km.kill_kernel()


@pytest.mark.skipif(not LINUX, reason="elsewhere the port may be lost before the kernel's process is there")
@pytest.mark.parametrize("channel", ["shell", "iopub"])
def test_a_port_that_is_stolen_before_the_kernel_binds_is_replaced(channel):
    """As the kernels of managers do that do not reserve: they bind with SO_REUSEADDR to a number they chose before.

    Without its shell port ipykernel ends; without iopub's it hangs.
    """
    km = KernelManager()
    km.start_kernel()
    stolen, pid = getattr(km, f"{channel}_port"), km.provisioner.pid
    with socket.socket() as thief, km.client() as client:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", stolen))
        thief.listen()
        client.wait_for_ready(60)
        assert client.run("6 * 7").data["text/plain"] == "42"
        assert getattr(km, f"{channel}_port") != stolen
        assert km.provisioner.pid != pid
        assert km.exit_status.reason is ExitReason.PORT_CONFLICT
    km.shutdown_kernel()


@pytest.mark.anyio
async def test_ports_that_are_lost_again_and_again_are_given_up_with_the_reason(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel("raise SystemExit('Address already in use')"))
    await km.start_kernel()
    with pytest.raises(KernelStartError, match="port_conflict"):
        await km.wait_for_ready()
    await km.shutdown_kernel()


def test_the_descriptors_of_a_reservation_do_not_stay(script_kernel):
    km = KernelManager(kernel_name=script_kernel("import time; time.sleep(600)"))
    km.start_kernel()
    names = subprocess.run(
        ["ls", "-l", f"/proc/{km.provisioner.pid}/fd"], capture_output=True, text=True, check=True
    ).stdout
    assert names.count("socket:") == 5
    km.kill_kernel()


def test_no_free_port_at_all_is_said(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("kernelyard.connection._candidates", lambda: iter([port]))
        with pytest.raises(PortConflictError, match="No free TCP port") as caught:
            reserve_ports("127.0.0.1", {"shell": 0})
    assert "ipc" in caught.value.hint
