"""The kernel-management page: its examples, and every name, argument and result on it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import json
import subprocess
import sys
import threading

import kernelyard
import pytest
from kernelyard import (
    AsyncKernelClient,
    AsyncKernelManager,
    AsyncMultiKernelManager,
    BlockingKernelClient,
    KernelManager,
    KernelSpec,
    MultiKernelManager,
    run_kernel,
    start_new_async_kernel,
    start_new_kernel,
)


def test_basic_example(capsys):
    from kernelyard import KernelManager

    # Create and configure kernel manager
    km = KernelManager(kernel_name="python3")
    # Start the kernel
    km.start_kernel()
    # Check if kernel is running
    if km.is_alive():
        print("Kernel is running")
    # Create a client to communicate
    kc = km.client()
    kc.start_channels()
    # Use the kernel...
    assert kc.run("6 * 7").data["text/plain"] == "42"
    # Clean shutdown
    kc.stop_channels()
    km.shutdown_kernel()
    assert "Kernel is running" in capsys.readouterr().out


def test_multi_example(make_kernel, capsys):
    make_kernel("ir")
    from kernelyard import MultiKernelManager

    # Create multi-kernel manager
    mkm = MultiKernelManager()
    # Start multiple kernels
    python_id = mkm.start_kernel(kernel_name="python3")
    r_id = mkm.start_kernel(kernel_name="ir")
    # List all kernels
    kernel_ids = mkm.list_kernel_ids()
    print(f"Running kernels: {kernel_ids}")
    # Get individual managers
    python_km = mkm.get_kernel(python_id)
    r_km = mkm.get_kernel(r_id)
    assert (python_km.kernel_name, r_km.kernel_name) == ("python3", "ir")
    # Clean shutdown
    mkm.shutdown_kernel(python_id)
    mkm.shutdown_kernel(r_id)
    assert python_id in capsys.readouterr().out
    assert mkm.list_kernel_ids() == []


def test_async_example():
    import asyncio

    from kernelyard import AsyncKernelManager

    async def manage_kernel():
        # Create async kernel manager
        km = AsyncKernelManager()
        # Start kernel
        await km.start_kernel()
        # Create async client
        kc = km.client()
        await kc.start_channels()
        # Use kernel...
        assert (await kc.run("print('hi')")).stdout == "hi\n"
        # Clean shutdown
        await kc.stop_channels()
        await km.shutdown_kernel()

    # Run async function
    asyncio.run(manage_kernel())


SINGLE = {
    "start_kernel": "kwargs",
    "shutdown_kernel": "now=False restart=False",
    "restart_kernel": "now=False newports=False kwargs",
    "kill_kernel": "",
    "interrupt_kernel": "",
    "signal_kernel": "signum",
    "is_alive": "",
    "client": "kwargs",
}
MULTI = {
    "start_kernel": "kernel_name=None kwargs",
    "shutdown_kernel": "kernel_id now=False restart=False",
    "restart_kernel": "kernel_id now=False kwargs",
    "kill_kernel": "kernel_id",
    "interrupt_kernel": "kernel_id",
    "get_kernel": "kernel_id",
    "list_kernel_ids": "",
    "remove_kernel": "kernel_id",
}


@pytest.mark.parametrize(
    ("cls", "methods"),
    [
        (KernelManager, SINGLE),
        (AsyncKernelManager, SINGLE),
        (MultiKernelManager, MULTI),
        (AsyncMultiKernelManager, MULTI),
    ],
)
def test_methods_have_the_pages_arguments(cls, methods):
    for name, expected in methods.items():
        parameters = list(inspect.signature(getattr(cls, name)).parameters.values())[1:]
        shown = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
        assert " ".join(shown) == expected, f"{cls.__name__}.{name}"


PAIRS = [(KernelManager, AsyncKernelManager), (MultiKernelManager, AsyncMultiKernelManager)]


@pytest.mark.parametrize(("facade", "original"), PAIRS)
def test_sync_and_async_classes_match(facade, original):
    """Names, parameters, defaults and documentation."""
    ours = {c for c in original.__mro__ if c.__module__.startswith("kernelyard")}
    names = {
        n
        for c in ours
        for n, member in vars(c).items()
        if not n.startswith("_") and inspect.isfunction(member)
    }
    assert names <= set(dir(facade))
    for name in names - {"call_back"}:
        mine, theirs = getattr(facade, name), getattr(original, name)
        assert mine.__doc__ == theirs.__doc__, name
        assert mine.__doc__, name
        own, other = inspect.signature(mine), inspect.signature(theirs)
        assert list(own.parameters.values()) == list(other.parameters.values()), name
        if name != "client":
            assert own.return_annotation == other.return_annotation, name


def test_one_manager_is_not_a_subclass_of_the_other():
    assert not issubclass(AsyncKernelManager, KernelManager)
    assert not issubclass(KernelManager, AsyncKernelManager)


def test_properties_before_and_after_a_start():
    km = KernelManager()
    assert isinstance(km.kernel_spec, KernelSpec)
    assert km.has_kernel is False
    assert isinstance(km.ready, concurrent.futures.Future)
    assert not km.ready.done()
    assert km.start_kernel() is None
    assert km.ready.result(timeout=0) is None
    assert km.has_kernel is True
    assert isinstance(km.client(), BlockingKernelClient)
    assert km.interrupt_kernel.__self__ is km
    assert km.wait_for_ready() is None
    assert km.interrupt_kernel() is None
    assert km.restart_kernel() is None
    assert km.wait_for_ready() is None
    assert km.kill_kernel() is None
    assert km.has_kernel is False
    assert km.shutdown_kernel() is None


def test_multi_manager_refuses_and_names_ids():
    mkm = MultiKernelManager()
    kernel_id = mkm.start_kernel()
    assert kernel_id in mkm
    assert len(mkm) == 1
    with pytest.raises(RuntimeError, match="still runs"):
        mkm.remove_kernel(kernel_id)
    with pytest.raises(ValueError, match=kernel_id):
        mkm.start_kernel(kernel_id=kernel_id)
    for call in (
        mkm.get_kernel,
        mkm.shutdown_kernel,
        mkm.restart_kernel,
        mkm.kill_kernel,
        mkm.interrupt_kernel,
    ):
        with pytest.raises(KeyError, match="'nobody'"):
            call("nobody")
    assert mkm.remove_kernel("nobody") is None
    manager = mkm.get_kernel(kernel_id)
    manager.shutdown_kernel(now=True)
    assert mkm.remove_kernel(kernel_id) is manager
    other = mkm.start_kernel(kernel_id="mine")
    assert other == "mine"
    mkm.kill_kernel(other)
    assert mkm.list_kernel_ids() == []
    assert mkm.default_kernel_name == "python3"
    assert mkm.kernel_manager_class == "kernelyard.KernelManager"


def test_run_kernel_as_a_context_manager():
    with run_kernel(kernel_name="python3") as kc:
        assert isinstance(kc, BlockingKernelClient)
        assert kc.run("1 + 1").data["text/plain"] == "2"


def test_run_kernel_in_process_runs_until_it_is_shut_down(tmp_path):
    file = tmp_path / "kernel.json"
    program = f"from kernelyard import run_kernel; print('returned', run_kernel(in_process=True, connection_file={str(file)!r}))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        while not (file.exists() and file.read_text().strip().endswith("}")):
            assert process.poll() is None
        kc = BlockingKernelClient(connection_file=str(file))
        kc.load_connection_file()
        with kc:
            kc.wait_for_ready(timeout=60)
            assert kc.run("import os; os.getpid()").data["text/plain"] == str(process.pid)
            kc.shutdown()
            out, _ = process.communicate(timeout=30)
        assert "returned None" in out
    finally:
        process.kill()
        process.communicate()


def test_run_kernel_refuses_arguments_of_the_other_way():
    with pytest.raises(TypeError, match="connection_file"):
        run_kernel(connection_file="x")
    with pytest.raises(TypeError, match="cwd"):
        run_kernel(in_process=True, cwd="/")  # type: ignore[call-overload]


def test_start_new_kernel_returns_a_manager_and_a_ready_client():
    km, kc = start_new_kernel()
    try:
        assert kc.execute_interactive("pass")["content"]["status"] == "ok"
    finally:
        kc.stop_channels()
        km.shutdown_kernel(now=True)


def test_start_new_async_kernel_returns_a_manager_and_a_ready_client():
    async def main():
        km, kc = await start_new_async_kernel()
        assert isinstance(kc, AsyncKernelClient)
        assert (await kc.run("1 + 1")).data["text/plain"] == "2"
        kc.stop_channels()
        await km.shutdown_kernel(now=True)

    asyncio.run(main())


def test_sync_classes_work_from_a_thread_with_a_running_loop():
    async def main():
        km = KernelManager()
        km.start_kernel()
        with km.client() as kc:
            kc.wait_for_ready(timeout=60)
            assert kc.run("2 + 2").data["text/plain"] == "4"
        km.shutdown_kernel(now=True)

    asyncio.run(main())


def test_a_sync_manager_may_be_used_from_many_threads():
    km, kc = start_new_kernel()
    results = []

    def work(number):
        results.append(kc.run(f"{number} * 2").data["text/plain"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kc.stop_channels()
    km.shutdown_kernel(now=True)
    assert sorted(map(int, results)) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_a_dead_callback_of_a_sync_manager_may_call_the_manager():
    km = KernelManager()
    done = threading.Event()

    def restart():
        km.restart_kernel()
        done.set()

    km.add_restart_callback(restart, "dead")
    km.start_kernel()
    km.wait_for_ready()
    km.signal_kernel(9)
    assert done.wait(20)
    km.wait_for_ready()
    km.shutdown_kernel(now=True)


def test_public_names_are_all_there():
    for name in kernelyard.__all__:
        assert getattr(kernelyard, name) is not None
    assert set(kernelyard.__all__) <= set(dir(kernelyard))


def test_importing_the_package_loads_nothing_heavy():
    program = "import sys, kernelyard, json; print(json.dumps(sorted(m for m in sys.modules)))"
    loaded = set(
        json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    )
    assert not loaded & {"zmq", "traitlets", "asyncio", "pluggy", "jupyter_core", "anyio"}


def test_nothing_needs_jupyter_client_or_tornado():
    program = (
        "import sys; sys.modules['jupyter_client'] = sys.modules['tornado'] = None\n"
        "from kernelyard import start_new_kernel\n"
        "km, kc = start_new_kernel(); print(kc.run('1+1').data['text/plain']); kc.stop_channels(); km.shutdown_kernel()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
