"""The state machine: what may happen when, and that nothing is left. Processes are real, messages are not needed."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kernelyard import AsyncKernelManager, ExitReason, KernelBusyError, KernelManager, Phase, State
from kernelyard._plugins import Relay
from kernelyard.errors import (
    CommandNotFoundError,
    KernelNotRunningError,
    KernelStateError,
    LaunchCancelledError,
    LaunchError,
    ProvisionerError,
)

pytestmark = pytest.mark.anyio

FOREVER = "import time; time.sleep(600)"
STUBBORN = """
import signal, sys, time
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


async def until(condition, seconds=10.0):
    """Wait for something that has no event of its own."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


async def test_states_from_start_to_shutdown(script_kernel, runtime_dir):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    assert (km.state, km.has_kernel, await km.is_alive()) == (State.NEW, False, False)
    await km.start_kernel()
    assert (km.state, km.has_kernel, await km.is_alive()) == (State.RUNNING, True, True)
    assert km.ready.done()
    assert Path(km.connection_file).stat().st_mode & 0o777 == 0o600
    await km.shutdown_kernel(now=True)
    assert (km.state, km.has_kernel, await km.is_alive()) == (State.DEAD, False, False)
    assert km.exit_status.signal == signal.SIGKILL
    assert km.exit_status.phase is Phase.STOPPING
    assert list(runtime_dir.iterdir()) == []


async def test_a_second_start_is_refused(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    with pytest.raises(KernelStateError, match="runs already"):
        await km.start_kernel()
    await km.kill_kernel()


async def test_a_dead_kernel_can_be_started_again(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    first = km.provisioner.pid
    await km.kill_kernel()
    await km.start_kernel()
    assert km.provisioner.pid != first
    await km.kill_kernel()


async def test_what_needs_a_kernel_says_that_there_is_none():
    km = AsyncKernelManager()
    for doing in (km.interrupt_kernel(), km.signal_kernel(10), km.restart_kernel()):
        with pytest.raises(KernelNotRunningError):
            await doing
    await km.shutdown_kernel()
    await km.kill_kernel()
    assert km.state is State.NEW


async def test_operations_on_a_busy_kernel_are_refused(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN), shutdown_wait_time=1.0)
    await km.start_kernel()
    stopping = asyncio.ensure_future(km.shutdown_kernel())
    await asyncio.sleep(0)
    assert km.state is State.STOPPING
    for doing in (km.start_kernel(), km.restart_kernel(), km.interrupt_kernel(), km.signal_kernel(10)):
        with pytest.raises(KernelBusyError, match="stopping"):
            await doing
    await stopping
    assert km.state is State.DEAD


async def test_a_deaf_kernel_is_killed_after_the_wait_time(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN), shutdown_wait_time=0.4)
    await km.start_kernel()
    await until(lambda: "deaf" in Path(km.handle.ref["log"]).read_text())
    began = time.monotonic()
    await km.shutdown_kernel()
    assert 0.4 <= time.monotonic() - began < 3
    assert km.exit_status.signal == signal.SIGKILL


async def test_sigterm_comes_before_sigkill(script_kernel):
    polite = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    km = AsyncKernelManager(kernel_name=script_kernel(polite), shutdown_wait_time=0.4)
    await km.start_kernel()
    await until(lambda: "up" in Path(km.handle.ref["log"]).read_text())
    await km.shutdown_kernel()
    assert km.exit_status.signal == signal.SIGTERM


async def test_a_second_shutdown_joins_the_first_and_now_hurries_it(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN), shutdown_wait_time=60)
    await km.start_kernel()
    await until(lambda: "deaf" in Path(km.handle.ref["log"]).read_text())
    first = asyncio.ensure_future(km.shutdown_kernel())
    second = asyncio.ensure_future(km.shutdown_kernel())
    await asyncio.sleep(0.1)
    assert not first.done()
    await km.shutdown_kernel(now=True)
    await asyncio.gather(first, second)
    assert km.state is State.DEAD


async def test_a_cancelled_shutdown_kills(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN), shutdown_wait_time=60)
    await km.start_kernel()
    await until(lambda: "deaf" in Path(km.handle.ref["log"]).read_text())
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(km.shutdown_kernel(), 0.1)
    assert km.state is State.DEAD
    assert km.exit_status.signal == signal.SIGKILL


async def test_a_shutdown_beats_a_restart(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN), shutdown_wait_time=60)
    await km.start_kernel()
    await until(lambda: "deaf" in Path(km.handle.ref["log"]).read_text())
    restarting = asyncio.ensure_future(km.restart_kernel())
    await asyncio.sleep(0)
    assert km.state is State.RESTARTING
    with pytest.raises(KernelBusyError):
        await km.restart_kernel()
    await km.shutdown_kernel(now=True)
    with pytest.raises(LaunchCancelledError):
        await restarting
    assert km.state is State.DEAD


async def test_restart_keeps_ports_and_new_ports_are_new(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    ports, pid, key = km.ports, km.provisioner.pid, km.session.key
    await km.restart_kernel(now=True)
    assert (km.ports, km.session.key) == (ports, key)
    assert km.provisioner.pid != pid
    await km.restart_kernel(now=True, newports=True)
    assert not set(km.ports) & set(ports)
    await km.kill_kernel()


async def test_configured_ports_are_honoured_also_over_new_ports(script_kernel):
    name = script_kernel(FOREVER)
    scout = AsyncKernelManager(kernel_name=name)
    await scout.start_kernel()
    wanted = scout.shell_port
    await scout.kill_kernel()
    km = AsyncKernelManager(kernel_name=name, shell_port=wanted)
    await km.start_kernel()
    assert km.shell_port == wanted
    others = km.ports[1:]
    await km.restart_kernel(now=True, newports=True)
    assert km.shell_port == wanted
    assert not set(others) & set(km.ports[1:])
    await km.kill_kernel()


async def test_ready_is_fresh_for_each_operation_and_carries_its_error(script_kernel, make_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    seen = [km.ready]
    await km.start_kernel()
    assert km.ready is seen[0]
    await km.restart_kernel(now=True)
    seen.append(km.ready)
    await km.shutdown_kernel(now=True)
    seen.append(km.ready)
    assert len({id(ready) for ready in seen}) == 3
    assert [await ready for ready in seen] == [None, None, None]

    broken = AsyncKernelManager(kernel_name=make_kernel("broken", ["/no/such/program"]))
    with pytest.raises(CommandNotFoundError):
        await broken.start_kernel()
    with pytest.raises(CommandNotFoundError):
        await broken.ready


async def test_a_kernel_that_cannot_be_started_leaves_nothing(make_kernel, runtime_dir):
    km = AsyncKernelManager(kernel_name=make_kernel("broken", ["/no/such/program", "{connection_file}"]))
    with pytest.raises(FileNotFoundError, match="/no/such/program") as caught:
        await km.start_kernel()
    assert isinstance(caught.value, LaunchError)
    assert caught.value.provisioner == "local"
    assert caught.value.kernel_id == km.kernel_id
    assert km.state is State.DEAD
    assert list(runtime_dir.iterdir()) == []


async def test_a_cancelled_start_leaves_nothing(script_kernel, runtime_dir):
    """Cancelled after every number of loop turns that a start takes."""
    name = script_kernel(FOREVER)
    cancelled = 0
    for turns in range(12):
        km = AsyncKernelManager(kernel_name=name)
        starting = asyncio.ensure_future(km.start_kernel())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            cancelled += 1
            assert not km.has_kernel
            assert list(runtime_dir.iterdir()) == []
        else:
            await km.kill_kernel()
    assert cancelled >= 3


async def test_a_shutdown_cancels_a_start_that_is_under_way(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    starting = asyncio.ensure_future(km.start_kernel())
    await asyncio.sleep(0)
    assert km.state is State.STARTING
    await km.shutdown_kernel()
    with pytest.raises(LaunchCancelledError):
        await starting
    assert not km.has_kernel


async def test_an_exit_is_reported_with_code_and_last_lines(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel("print('line'); raise SystemExit(3)"))
    dead = asyncio.Event()
    km.add_restart_callback(dead.set, "dead")
    await km.start_kernel()
    await asyncio.wait_for(dead.wait(), 10)
    status = km.exit_status
    assert (status.reason, status.exit_code, status.phase) == (ExitReason.STARTUP, 3, Phase.STARTING)
    assert "line" in status.output
    assert km.state is State.DEAD


async def test_a_killed_kernel_is_reported_at_once(script_kernel):
    """Within 50 ms on an idle machine; the best of some tries, since other tests run beside this one."""
    delays = []
    for _ in range(5):
        km = AsyncKernelManager(kernel_name=script_kernel(FOREVER, name=f"k{len(delays)}"))
        dead = asyncio.Event()
        km.add_restart_callback(dead.set, "dead")
        await km.start_kernel()
        began = time.monotonic()
        os.kill(km.provisioner.pid, signal.SIGKILL)
        await asyncio.wait_for(dead.wait(), 10)
        delays.append(time.monotonic() - began)
        assert km.exit_status.signal == signal.SIGKILL
    assert min(delays) < 0.05, delays


async def test_autorestart_gives_up_after_the_limit(script_kernel, monkeypatch):
    monkeypatch.setattr("kernelyard._supervise.FIRST_BACKOFF", 0.01)
    km = AsyncKernelManager(
        kernel_name=script_kernel("raise SystemExit(5)"), autorestart=True, restart_limit=3
    )
    restarts, dead = [], asyncio.Event()
    km.add_restart_callback(lambda: restarts.append(km.provisioner.pid))
    km.add_restart_callback(dead.set, "dead")
    await km.start_kernel()
    await asyncio.wait_for(dead.wait(), 20)
    assert len(restarts) == 3
    assert km.exit_status.exit_code == 5
    assert not await km.is_alive()


async def test_autorestart_starts_a_killed_kernel_again(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    restarted = asyncio.Event()
    km.add_restart_callback(restarted.set)
    await km.start_kernel()
    pid, ports = km.provisioner.pid, km.ports
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(restarted.wait(), 10)
    assert await km.is_alive()
    assert km.provisioner.pid != pid
    assert km.ports == ports
    await km.shutdown_kernel(now=True)


async def test_a_lone_manager_leaves_a_dead_kernel_dead(script_kernel):
    """As jupyter_client's KernelManager does, on which nbclient relies."""
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    os.kill(km.provisioner.pid, signal.SIGKILL)
    await until(lambda: km.state is State.DEAD)
    await asyncio.sleep(0.1)
    assert not await km.is_alive()
    await km.restart_kernel()
    assert await km.is_alive()
    await km.shutdown_kernel(now=True)


async def test_a_shutdown_beats_an_autorestart(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel("raise SystemExit(5)"), autorestart=True)
    await km.start_kernel()
    await until(lambda: km.state is State.RESTARTING)
    await km.shutdown_kernel()
    assert km.state is State.DEAD
    await asyncio.sleep(0.1)
    assert km.state is State.DEAD


async def test_a_failing_callback_stops_nothing(script_kernel, caplog):
    km = AsyncKernelManager(kernel_name=script_kernel("raise SystemExit(5)"))
    dead = asyncio.Event()

    def fail():
        raise ZeroDivisionError

    km.add_restart_callback(fail, "dead")
    km.add_restart_callback(dead.set, "dead")
    await km.start_kernel()
    await asyncio.wait_for(dead.wait(), 10)
    assert "a callback for 'dead' failed" in caplog.text


async def test_signals_reach_the_children(script_kernel, tmp_path):
    script = f"""
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time, pathlib; signal.signal(signal.SIGUSR1, lambda *_: pathlib.Path({str(tmp_path / "got")!r}).touch());"
    "pathlib.Path({str(tmp_path / "up")!r}).touch(); time.sleep(600)"])
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
time.sleep(600)
"""
    km = AsyncKernelManager(kernel_name=script_kernel(script))
    await km.start_kernel()
    await until((tmp_path / "up").exists)
    await km.signal_kernel(signal.SIGUSR1)
    await until((tmp_path / "got").exists)
    await km.shutdown_kernel(now=True)


async def test_update_env_works_from_the_next_restart_on(script_kernel):
    km = AsyncKernelManager(
        kernel_name=script_kernel(
            "import os, time; print(os.environ.get('WHO'), flush=True); time.sleep(600)"
        )
    )
    await km.start_kernel(env={**os.environ, "WHO": "first"})
    log = Path(km.handle.ref["log"])
    await until(lambda: "first" in log.read_text())
    km.update_env(env={"WHO": "second"})
    await km.restart_kernel(now=True)
    await until(lambda: "second" in log.read_text())
    await km.kill_kernel()


async def test_the_stages_of_a_shutdown_can_be_taken_one_by_one(script_kernel, runtime_dir):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER), shutdown_wait_time=0.2)
    await km.start_kernel()
    await km.request_shutdown()
    assert km.shutting_down
    await km.finish_shutdown(waittime=0.2)
    assert not await km.is_alive()
    await km.cleanup_resources()
    assert km.state is State.DEAD
    assert list(runtime_dir.iterdir()) == []


async def test_start_takes_jupyter_clients_arguments(make_kernel, tmp_path):
    script = "import os, sys, time; print(os.getcwd(), sys.argv[1:], os.environ['A'], os.environ['B'], flush=True); time.sleep(600)"
    name = make_kernel(
        "args",
        [sys.executable, "-c", script, "{connection_file}", "{note}", "{resource_dir}"],
        env={"B": "${A}-b"},
    )
    km = AsyncKernelManager(kernel_name=name)
    await km.start_kernel(
        cwd=str(tmp_path),
        env={**os.environ, "A": "a"},
        extra_arguments=["--more"],
        note="hello",
        kernel_id="the-id",
    )
    assert km.kernel_id == "the-id"
    log = Path(km.handle.ref["log"])
    await until(lambda: "\n" in log.read_text())
    text = log.read_text()
    assert text.startswith(str(tmp_path))
    assert "'hello'" in text
    assert "'--more'" in text
    assert text.rstrip().endswith("a a-b")
    assert km.resolve_path("data") == str(tmp_path / "data")
    assert km.resolve_path("nothing") is None
    await km.kill_kernel()


async def test_an_unknown_argument_is_named(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    with pytest.raises(TypeError, match=r"'memroy'.*provisioner_config"):
        await km.start_kernel(memroy="2g")
    assert km.state is State.NEW


def test_a_program_may_use_several_event_loops_in_turn():
    km = AsyncKernelManager()
    dead = []
    km.add_restart_callback(lambda: dead.append(1), "dead")
    asyncio.run(km.start_kernel())
    asyncio.run(km.wait_for_ready())

    async def use():
        async with km.client() as kc:
            await kc.wait_for_ready(60)
            assert (await kc.run("1 + 1")).data["text/plain"] == "2"

    asyncio.run(use())
    asyncio.run(km.interrupt_kernel())
    asyncio.run(km.restart_kernel())
    asyncio.run(use())
    asyncio.run(km.shutdown_kernel())
    assert km.exit_status.exit_code == 0
    assert not dead


class Flaky:
    """The relay of a manager, with hooks that fail so many times; the place behind it is the real one."""

    def __init__(self, km, monkeypatch):
        self.failures = {}
        for name in ("kill", "cleanup", "wait"):
            real = getattr(Relay, name)

            async def hook(relay, handle, name=name, real=real, **how):
                if self.failures.get(name, 0) > 0:
                    self.failures[name] -= 1
                    raise ProvisionerError(f"no {name} today")
                return await real(relay, handle, **how)

            monkeypatch.setattr(Relay, name, hook)


async def test_a_failed_cleanup_can_be_tried_again(script_kernel, monkeypatch, runtime_dir):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    flaky = Flaky(km, monkeypatch)
    await km.start_kernel()
    flaky.failures = {"cleanup": 1}
    with pytest.raises(ProvisionerError, match="no cleanup today"):
        await km.shutdown_kernel(now=True)
    with pytest.raises(KernelStateError, match="could not be removed"):
        await km.start_kernel()
    await km.shutdown_kernel()
    assert list(runtime_dir.iterdir()) == []
    await km.start_kernel()
    flaky.failures = {"kill": 1}
    with pytest.raises(ProvisionerError, match="no kill today"):
        await km.kill_kernel()
    assert await km.is_alive()
    await km.kill_kernel()
    assert not await km.is_alive()


async def test_a_place_that_fails_to_tell_for_a_while_is_no_death(script_kernel, monkeypatch):
    monkeypatch.setattr("kernelyard._watch.FIRST_PAUSE", 0.01)
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    flaky = Flaky(km, monkeypatch)
    flaky.failures = {"wait": 4}
    dead = asyncio.Event()
    km.add_restart_callback(dead.set, "dead")
    await km.start_kernel()
    await until(lambda: flaky.failures["wait"] == 0)
    assert km.state is State.RUNNING
    os.kill(km.provisioner.pid, signal.SIGKILL)
    await asyncio.wait_for(dead.wait(), 10)
    assert km.exit_status.signal == signal.SIGKILL


async def test_a_cancelled_restart_leaves_no_kernel_and_tells_of_no_accident(script_kernel):
    for delay in (0.0, 0.02, 0.2):
        km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN, name=f"k{delay}"), shutdown_wait_time=60)
        dead = []
        km.add_restart_callback(lambda dead=dead: dead.append(1), "dead")
        await km.start_kernel()
        await until(lambda km=km: "deaf" in Path(km.handle.ref["log"]).read_text())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(km.restart_kernel(), delay)
        assert km.state in (State.DEAD, State.RUNNING)
        if km.state is State.RUNNING:  # cancelled before it began
            assert await km.is_alive()
            await km.kill_kernel()
        assert dead == []


async def test_cancelling_one_of_two_shutdowns_does_not_cancel_the_other(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(STUBBORN), shutdown_wait_time=60)
    await km.start_kernel()
    await until(lambda: "deaf" in Path(km.handle.ref["log"]).read_text())
    first = asyncio.ensure_future(km.shutdown_kernel())
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(km.shutdown_kernel())
    await asyncio.sleep(0.05)
    first.cancel()
    await second
    assert km.state is State.DEAD


async def test_a_shutdown_that_does_not_keep_joins_one_that_keeps(script_kernel, runtime_dir):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    await asyncio.gather(km.shutdown_kernel(restart=True), km.shutdown_kernel())
    assert list(runtime_dir.iterdir()) == []


async def test_a_shutdown_beats_a_start_that_is_still_being_prepared(script_kernel):
    preparing, go = asyncio.Event(), asyncio.Event()

    class Slow(AsyncKernelManager):
        async def pre_start_kernel(self, **kw):
            preparing.set()
            await go.wait()
            return await super().pre_start_kernel(**kw)

    km = Slow(kernel_name=script_kernel(FOREVER))
    starting = asyncio.ensure_future(km.start_kernel())
    await preparing.wait()
    await km.shutdown_kernel()
    with pytest.raises(LaunchCancelledError):
        await starting
    assert not km.has_kernel


async def test_a_slow_observer_holds_nothing_up(script_kernel, monkeypatch):
    from kernelyard import hookimpl

    class Slow:
        @hookimpl
        async def kernelyard_on_exit(self, handle):
            await asyncio.sleep(60)

    monkeypatch.setattr("kernelyard._plugins.load_plugins", lambda: (("slow", Slow()),))
    monkeypatch.setattr("kernelyard._plugins.OBSERVER_TIMEOUT", 2.0)
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    began = time.monotonic()
    await km.shutdown_kernel(now=True)
    assert time.monotonic() - began < 2
    await asyncio.gather(*km._kernel.relay._telling)


async def test_a_kernel_cannot_stop_the_loop_by_a_pipe_in_the_place_of_its_log(script_kernel):
    km = AsyncKernelManager(kernel_name=script_kernel(FOREVER))
    await km.start_kernel()
    log = Path(km.handle.ref["log"])
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(LaunchError, match=r"(?s)log"):
        await asyncio.wait_for(km.restart_kernel(now=True), 20)
    assert not km.has_kernel


def test_values_and_errors_travel_between_processes(script_kernel):
    km = KernelManager(kernel_name=script_kernel(FOREVER))
    launch = km.plan()
    assert pickle.loads(pickle.dumps(launch.request)) == launch.request
    km.start_kernel()
    assert copy.deepcopy(km.handle) == km.handle
    assert pickle.loads(pickle.dumps(km.handle)) == km.handle
    km.kill_kernel()
    with pytest.raises(FileNotFoundError) as caught:
        raise CommandNotFoundError("there is no such thing", command="thing", kernel_id="k", hint="Look.")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_a_forked_child_is_told_that_the_manager_is_its_parents(script_kernel):
    program = f"""
import os
from kernelyard import KernelManager
km = KernelManager(kernel_name={script_kernel(FOREVER)!r}); km.start_kernel()
pid = os.fork()
if pid == 0:
    try: km.interrupt_kernel()
    except RuntimeError as error: print("told:", "forked" in str(error), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
km.kill_kernel()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "told: True"
