"""Kernels of several languages and makes: none is a special case."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest
from kernelyard import KernelManager, start_new_kernel


@pytest.fixture
def bash(tmp_path, own_directories):
    subprocess.run(
        [sys.executable, "-m", "bash_kernel.install", "--prefix", str(tmp_path / "prefix")],
        check=True,
        capture_output=True,
    )
    source = tmp_path / "prefix/share/jupyter/kernels/bash"
    (tmp_path / "data/kernels").mkdir(parents=True, exist_ok=True)
    source.rename(tmp_path / "data/kernels/bash")
    return "bash"


CELLS = {
    "python3": ("print(6 * 7)", "import time; print('on', flush=True); time.sleep(600)", "x = 5", "print(x)"),
    "bash": ("echo 42", "echo on; sleep 600", "x=5", "echo $x"),
    # Its wheel ends on SIGINT, under jupyter_client too, and does nothing about an interrupt_request.
    "xpython": ("print(6 * 7)", None, "x = 5", "print(x)"),
}


@pytest.fixture(params=list(CELLS))
def language(request):
    if request.param == "bash":
        request.getfixturevalue("bash")
    return request.param


@pytest.fixture(params=["tcp", "ipc"])
def reached(request):
    """How the kernel is reached. xeus takes no socket path of the usual length, so this one is short."""
    if request.param == "tcp":
        yield {"transport": "tcp"}
        return
    with tempfile.TemporaryDirectory(prefix="ky") as short:
        yield {"transport": "ipc", "ip": f"{short}/k"}


def test_a_life_in_every_language(language, reached):
    say, wait, keep, show = CELLS[language]
    km = KernelManager(kernel_name=language, **reached)
    km.start_kernel()
    km.wait_for_ready(60)
    with km.client() as kc:
        kc.wait_for_ready(60)
        assert kc.run(say, timeout=30).stdout == "42\n"
        assert kc.kernel_info(reply=True, timeout=30)["content"]["status"] == "ok"
        assert kc.is_alive()

        if wait is not None:
            for output in kc.outputs(wait):
                if output.get("text", "").startswith("on"):
                    km.interrupt_kernel()
        assert km.is_alive()
        kc.run(keep, timeout=30)
        assert kc.run(show, timeout=30).stdout == "5\n"

        km.restart_kernel()
        kc.wait_for_ready(60)
        assert kc.run(show, timeout=30, raise_on_error=False).stdout != "5\n"
        assert kc.run(say, timeout=30).stdout == "42\n"
    km.shutdown_kernel()
    assert not km.is_alive()


def test_a_message_interrupt(make_kernel):
    """The same kernel, interrupted through its control channel."""
    name = make_kernel("by_message", interrupt_mode="message")
    km, kc = start_new_kernel(kernel_name=name)
    for output in kc.outputs(CELLS["python3"][1]):
        if output.get("text", "").startswith("on"):
            km.interrupt_kernel()
    assert kc.run("6 * 7").data["text/plain"] == "42"
    kc.stop_channels()
    km.shutdown_kernel()


def test_ipc_finds_a_path_that_is_short_enough(tmp_path):
    """The runtime directory of a test is too deep for a socket's path."""
    km = KernelManager(transport="ipc", connection_file=str(tmp_path / ("long" * 20) / "kernel.json"))
    km.start_kernel()
    with km.client() as kc:
        kc.wait_for_ready(60)
        assert kc.run("6 * 7").data["text/plain"] == "42"
    directory = os.path.dirname(km.ip)
    assert os.stat(directory).st_mode & 0o777 == 0o700
    km.shutdown_kernel(now=True)
    assert not os.path.exists(directory)
