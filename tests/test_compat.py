"""Programs written for jupyter_client: side by side on the same calls, and real ones with kernelyard's managers."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jupyter_client
import kernelyard
import nbformat
import pytest
from jupyter_client.manager import start_new_kernel as other_start_new_kernel
from kernelyard import (
    AsyncKernelManager,
    AsyncMultiKernelManager,
    BlockingKernelClient,
    KernelManager,
    MultiKernelManager,
    start_new_kernel,
)
from kernelyard.errors import KernelNotOwnedError, LaunchError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

BOTH = pytest.mark.parametrize("package", [jupyter_client, kernelyard], ids=["jupyter_client", "kernelyard"])
# jupyter_client's and nbclient's sockets are left to the garbage collector.
pytestmark = [
    pytest.mark.leaks_elsewhere,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collected():
    """Collect what the other projects left here, where its warnings are not taken for ours."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def notebook(*cells):
    nb = nbformat.v4.new_notebook()
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nb.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return nb


# One program, both packages ---------------------------------------------------------------------------------


@BOTH
def test_the_life_of_a_kernel(package):
    km = package.KernelManager(kernel_name="python")
    assert km.kernel_name == "python3"
    assert not km.has_kernel
    assert km.owns_kernel
    km.start_kernel(env={**os.environ, "MARK": "7"})
    assert km.ready.done()
    assert km.is_alive()
    kc = km.client()
    kc.start_channels()
    kc.wait_for_ready(timeout=60)
    msg_id = kc.execute("import os; print(os.environ['MARK'])")
    reply = kc.get_shell_msg(timeout=30)
    while reply["parent_header"].get("msg_id") != msg_id:
        reply = kc.get_shell_msg(timeout=30)
    assert reply["content"]["status"] == "ok"
    texts = []
    while True:
        msg = kc.get_iopub_msg(timeout=30)
        if msg["parent_header"].get("msg_id") == msg_id:
            if msg["msg_type"] == "stream":
                texts.append(msg["content"]["text"])
            if msg["msg_type"] == "status" and msg["content"]["execution_state"] == "idle":
                break
    assert "".join(texts) == "7\n"
    info = json.loads(Path(km.connection_file).read_text())
    assert info["shell_port"] == km.shell_port
    assert info["key"].encode() == km.session.key
    assert {"transport", "ip", "key", "signature_scheme", "shell_port"} <= set(km.get_connection_info())
    assert km.get_connection_info(session=True)["session"].key == km.session.key
    km.interrupt_kernel()
    km.restart_kernel()
    kc.wait_for_ready(timeout=60)
    assert kc.execute("1", reply=True, timeout=30)["content"]["status"] == "ok"
    kc.stop_channels()
    file = km.connection_file
    km.shutdown_kernel()
    assert not km.is_alive()
    assert not os.path.exists(file)


@BOTH
def test_raw_sockets(package):
    km = package.KernelManager()
    km.start_kernel()
    shell, iopub, control, stdin, hb = (
        km.connect_shell(), km.connect_iopub(), km.connect_control(), km.connect_stdin(), km.connect_hb()
    )  # fmt: skip
    try:
        hb.send(b"ping")
        assert hb.poll(30000)
        assert hb.recv() == b"ping"
        for socket in (shell, control):
            km.session.send(socket, "kernel_info_request")
            assert socket.poll(30000)
            _, msg = km.session.recv(socket)
            assert msg["msg_type"] == "kernel_info_reply"
            assert msg["content"]["language_info"]["name"] == "python"
        assert iopub.poll(30000)
    finally:
        for socket in (shell, iopub, control, stdin, hb):
            socket.close()
        km.shutdown_kernel(now=True)


@BOTH
def test_a_connection_file_leads_another_client_to_the_kernel(package, tmp_path):
    km, kc = (other_start_new_kernel if package is jupyter_client else start_new_kernel)()
    try:
        other = package.BlockingKernelClient(connection_file=km.connection_file)
        other.load_connection_file()
        other.start_channels()
        other.wait_for_ready(timeout=30)
        assert other.execute_interactive("x = 1", timeout=30)["content"]["status"] == "ok"
        other.stop_channels()
    finally:
        kc.stop_channels()
        km.shutdown_kernel(now=True)


@BOTH
def test_jupyter_clients_client_talks_to_kernelyards_kernel_and_the_other_way_round(package):
    other = kernelyard if package is jupyter_client else jupyter_client
    km = package.KernelManager()
    km.start_kernel()
    ours = km.client()
    ours.start_channels()
    ours.wait_for_ready(timeout=60)
    ours.stop_channels()
    kc = other.BlockingKernelClient(connection_file=km.connection_file)
    kc.load_connection_file()
    kc.start_channels()
    kc.wait_for_ready(timeout=60)
    assert kc.execute_interactive("1 + 1", timeout=30)["content"]["status"] == "ok"
    kc.stop_channels()
    km.shutdown_kernel(now=True)


@BOTH
def test_many_kernels(package):
    mkm = package.MultiKernelManager()
    ids = [mkm.start_kernel() for _ in range(2)]
    assert mkm.list_kernel_ids() == ids
    assert len(mkm) == 2
    assert ids[0] in mkm
    assert mkm.is_alive(ids[0])
    assert mkm.get_connection_info(ids[0])["shell_port"] == mkm.get_kernel(ids[0]).shell_port
    mkm.interrupt_kernel(ids[0])
    mkm.restart_kernel(ids[0], now=True)
    mkm.shutdown_kernel(ids[0], now=True)
    assert mkm.list_kernel_ids() == ids[1:]
    with pytest.raises(KeyError):
        mkm.get_kernel(ids[0])
    mkm.shutdown_all(now=True)
    assert mkm.list_kernel_ids() == []


def test_a_subclass_may_change_the_launch(tmp_path):
    class Changed(KernelManager):
        def pre_start_kernel(self, **kw):
            cmd, kw = super().pre_start_kernel(**kw)
            kw["env"] = {**os.environ, "CHANGED": "yes"}
            kw["cwd"] = str(tmp_path)
            return cmd, kw

    km = Changed()
    km.start_kernel()
    kc = km.client()
    kc.start_channels()
    kc.wait_for_ready(timeout=60)
    replies = []
    kc.execute_interactive(
        "import os; print(os.environ['CHANGED'], os.getcwd())",
        output_hook=lambda m: replies.append(m["content"].get("text")),
        timeout=30,
    )
    assert f"yes {tmp_path}\n" in replies
    kc.stop_channels()
    km.shutdown_kernel(now=True)


@BOTH
def test_traits_have_the_same_defaults(package):
    km, mkm = package.KernelManager(), package.MultiKernelManager()
    names = [
        "kernel_name",
        "autorestart",
        "shutdown_wait_time",
        "cache_ports",
        "transport",
        "ip",
        "transport_encryption",
    ]
    values = {name: getattr(km, name) for name in names}
    assert values == {
        "kernel_name": "python3",
        "autorestart": True,
        "shutdown_wait_time": 5.0,
        "cache_ports": True,
        "transport": "tcp",
        "ip": "127.0.0.1",
        "transport_encryption": "disabled",
    }
    assert (mkm.default_kernel_name, mkm.shared_context, mkm.external_connection_dir) == (
        "python3",
        True,
        None,
    )
    assert (km.kernel_id, km.connection_file, km.ports) == (None, "", [0, 0, 0, 0, 0])


@BOTH
def test_configuration_reaches_the_managers(package):
    from traitlets.config import Config

    config = Config(
        {"KernelManager": {"shutdown_wait_time": 1.5}, "MultiKernelManager": {"default_kernel_name": "x"}}
    )
    assert package.KernelManager(config=config).shutdown_wait_time == 1.5
    assert package.AsyncKernelManager(config=config).shutdown_wait_time == 1.5
    assert package.MultiKernelManager(config=config).default_kernel_name == "x"
    assert package.AsyncMultiKernelManager(config=config).default_kernel_name == "x"


# Where jupyter_client is broken, and kernelyard must not be ---------------------------------------------------------


def test_configured_ports_are_used(script_kernel):
    name = script_kernel("import time; time.sleep(600)")
    scout = KernelManager(kernel_name=name)
    scout.start_kernel()
    port = scout.shell_port
    scout.kill_kernel()
    km = KernelManager(kernel_name=name, shell_port=port)
    km.start_kernel()
    assert km.shell_port == port
    km.kill_kernel()


def test_a_foreign_kernel_is_interrupted_and_shut_down_over_its_channels_and_never_restarted():
    owner, kc = start_new_kernel()
    guest = KernelManager(owns_kernel=False)
    guest.load_connection_file(owner.connection_file)
    assert guest.is_alive()
    for refused in (guest.restart_kernel, guest.start_kernel):
        with pytest.raises(KernelNotOwnedError, match="another program owns it"):
            refused()
    msg_id = kc.execute("import time\nprint('on', flush=True)\ntime.sleep(600)")
    while kc.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    guest.interrupt_kernel()
    reply = kc.get_shell_msg(timeout=30)
    while reply["parent_header"]["msg_id"] != msg_id:
        reply = kc.get_shell_msg(timeout=30)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    with guest.client() as gc:
        gc.wait_for_ready(timeout=30)
        assert gc.run("1").ok
    guest.shutdown_kernel()
    deadline = time.monotonic() + 20
    while owner.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not guest.is_alive()
    kc.stop_channels()
    owner.shutdown_kernel()


def test_kernels_of_other_programs_are_listed_while_they_live(tmp_path):
    directory = tmp_path / "external"
    directory.mkdir()
    owner = KernelManager(connection_file=str(directory / "kernel-1b2c3d4e-0000-4000-8000-000000000001.json"))
    owner.start_kernel()
    owner.wait_for_ready()
    (directory / "kernel-stale.json").write_text(
        Path(owner.connection_file).read_text().replace(str(owner.hb_port), "9")
    )
    (directory / "rubbish.json").write_text("{")
    mkm = MultiKernelManager(external_connection_dir=str(directory))
    assert mkm.list_kernel_ids() == ["1b2c3d4e-0000-4000-8000-000000000001"]
    guest = mkm.get_kernel(mkm.list_kernel_ids()[0])
    assert not guest.owns_kernel
    assert guest.kernel_name == "python3"
    assert guest.is_alive()
    owner.shutdown_kernel(now=True)
    assert mkm.list_kernel_ids() == []


def test_required_encryption_is_refused_for_a_kernel_that_does_not_declare_it(make_kernel):
    km = KernelManager(kernel_name=make_kernel("plain"), transport_encryption="required")
    with pytest.raises(LaunchError, match="does not declare"):
        km.start_kernel()
    declared = make_kernel("curvy", metadata={"supported_encryption": ["curve"]})
    km = KernelManager(kernel_name=declared)
    km.start_kernel(transport_encryption="required")
    assert km.curve_publickey
    with km.client() as kc:
        kc.wait_for_ready(timeout=60)
        assert kc.run("1").ok
        keys = km.curve_publickey
        km.restart_kernel()
        kc.wait_for_ready(timeout=60)
        assert km.curve_publickey == keys
    km.shutdown_kernel(now=True)


def test_ipc():
    km = KernelManager(transport="ipc")
    km.start_kernel()
    with km.client() as kc:
        kc.wait_for_ready(timeout=60)
        assert kc.run("6 * 7").data["text/plain"] == "42"
        km.restart_kernel()
        kc.wait_for_ready(timeout=60)
        assert kc.run("6 * 7").data["text/plain"] == "42"
    km.shutdown_kernel()


def test_pending_kernels():
    async def main():
        mkm = AsyncMultiKernelManager(use_pending_kernels=True)
        kernel_id = await mkm.start_kernel()
        km = mkm.get_kernel(kernel_id)
        assert not km.ready.done()
        await km.ready
        assert await mkm.is_alive(kernel_id)
        await mkm.shutdown_kernel(kernel_id)
        assert kernel_id in mkm
        await mkm.shutdown_all()
        assert mkm.list_kernel_ids() == []

        failing = await mkm.start_kernel(kernel_name="nonesuch")
        with pytest.raises(KeyError, match="nonesuch"):
            await mkm.get_kernel(failing).ready
        await mkm.shutdown_kernel(failing)
        await mkm.shutdown_all()

        early = await mkm.start_kernel()
        await mkm.shutdown_kernel(early, now=True)
        await mkm.shutdown_all()
        assert len(mkm) == 0

    asyncio.run(main())


# Real programs ------------------------------------------------------------------------------------------------------


def test_nbclient_runs_a_notebook_with_our_manager():
    nb = notebook(
        "x = 20\nprint('hi')",
        "x + 22",
        "from IPython.display import display; display({'text/plain': 'd'}, raw=True)",
    )
    client = NotebookClient(nb, km=AsyncKernelManager(kernel_name="python3"), timeout=60)
    client.execute()
    assert nb.cells[0].outputs[0]["text"] == "hi\n"
    assert nb.cells[1].outputs[0]["data"]["text/plain"] == "42"
    assert nb.cells[2].outputs[0]["data"]["text/plain"] == "d"


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("1 / 0", CellExecutionError),
        ("import os; os._exit(1)", DeadKernelError),
        ("import time; time.sleep(9)", CellTimeoutError),
    ],
)
def test_nbclient_sees_errors_deaths_and_timeouts(cell, error):
    client = NotebookClient(
        notebook(cell), km=AsyncKernelManager(), timeout=60 if error is not CellTimeoutError else 1
    )
    with pytest.raises(error):
        client.execute()
    client._cleanup_kernel()  # what nbclient does at the interpreter's exit


def test_nbclient_interrupts_on_timeout():
    nb = notebook("import time\nwhile True: time.sleep(0.1)", "'after'")
    NotebookClient(
        nb, km=AsyncKernelManager(), timeout=2, interrupt_on_timeout=True, allow_errors=True
    ).execute()
    assert nb.cells[1].outputs[0]["data"]["text/plain"] == "'after'"


def test_jupyter_console_style_existing_client_finds_the_file(runtime_dir):
    km = KernelManager()
    km.start_kernel()
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from jupyter_client import find_connection_file as f; print(f('kernel-*.json'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found == km.connection_file == kernelyard.find_connection_file(km.kernel_id)
    km.shutdown_kernel(now=True)


def test_the_blocking_client_class_can_be_replaced():
    class Mine(BlockingKernelClient):
        pass

    km = KernelManager()
    km.client_factory = Mine
    km.start_kernel()
    assert type(km.client()) is Mine
    km.shutdown_kernel(now=True)


def test_a_file_that_others_wrote_is_not_removed(tmp_path):
    file = tmp_path / "theirs.json"
    file.write_text("{}")
    KernelManager(connection_file=str(file)).shutdown_kernel()
    assert file.exists()


def test_an_async_manager_gives_a_blocking_client_too():
    async def start():
        km = AsyncKernelManager()
        await km.start_kernel()
        await km.wait_for_ready()
        return km

    km = asyncio.run(start())
    with km.blocking_client() as kc:
        kc.wait_for_ready(timeout=60)
        assert kc.run("1 + 1").data["text/plain"] == "2"
    asyncio.run(km.shutdown_kernel(now=True))


def test_async_raw_sockets_are_awaited():
    async def main():
        km = AsyncKernelManager()
        await km.start_kernel()
        shell, hb = km.connect_shell(), km.connect_hb()
        km.session.send(shell, "kernel_info_request")
        frames = await shell.recv_multipart()
        _, frames = km.session.feed_identities(frames)
        assert km.session.deserialize(frames)["msg_type"] == "kernel_info_reply"
        await hb.send(b"ping")
        assert await hb.recv() == b"ping"
        shell.close()
        hb.close()
        await km.shutdown_kernel(now=True)

    asyncio.run(main())
