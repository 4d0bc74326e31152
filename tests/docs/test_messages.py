"""The messages that the documentation shows are the ones that people see."""

from __future__ import annotations

import sys

import pytest
from kernelyard import KernelManager, KernelStartError, NoSuchKernel, start_new_kernel
from kernelyard.errors import InvalidConfigError

from tests.conftest import MakeKernel
from tests.docs.pages import DOCS, ROOT, shown


def test_kernel_that_cannot_start(make_kernel: MakeKernel) -> None:
    """-S hides the packages of the environment, so that ipykernel is missing."""
    name = make_kernel(
        "data-science", [sys.executable, "-S", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    )
    with pytest.raises(KernelStartError) as caught:
        start_new_kernel(kernel_name=name)
    seen = f"kernelyard.errors.KernelStartError: {caught.value}".replace(
        sys.executable, "/opt/data/bin/python"
    )
    assert seen + "\n" == shown((ROOT / "README.md").read_text("utf-8"), "start_error")


def test_unknown_setting_in_a_kernel_json(make_kernel: MakeKernel) -> None:
    stanza = {"provisioner_name": "local", "config": {"output_line": 500}}
    manager = KernelManager(kernel_name=make_kernel("python-2gb", metadata={"kernel_provisioner": stanza}))
    with pytest.raises(InvalidConfigError) as caught:
        manager.start_kernel()
    assert manager.kernel_spec is not None
    seen = str(caught.value).replace(manager.kernel_spec.resource_dir, "/srv/kernels/python-2gb")
    page = (DOCS / "how-to" / "configure-a-kernelspec.md").read_text("utf-8")
    assert seen + "\n" == shown(page, "unknown_setting")


def test_unknown_kernel() -> None:
    """Other kernels of this environment may be installed besides."""
    with pytest.raises(NoSuchKernel) as caught:
        KernelManager(kernel_name="pyton3").start_kernel()
    page = (DOCS / "explanation" / "failures.md").read_text("utf-8")
    known, _, _ = shown(page, "unknown_kernel").rpartition("Installed:")
    assert str(caught.value).startswith(known)
