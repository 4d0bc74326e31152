"""The example plugin, installed: it runs a kernel that a kernel.json sends to it, and passes the contract suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernelyard import start_new_kernel

from tests.conftest import MakeKernel
from tests.docs.conftest import EXAMPLE


@pytest.mark.usefixtures("with_example")
def test_kernel_json_sends_a_kernel_to_the_example(make_kernel: MakeKernel) -> None:
    """Its `config` reaches the provisioner: the kernel is nice."""
    stanza = {"provisioner_name": "wrapped", "config": {"wrapper": ["nice", "-n", "7"]}}
    manager, client = start_new_kernel(
        kernel_name=make_kernel("nice", metadata={"kernel_provisioner": stanza})
    )
    try:
        assert client.run("import os; os.nice(0)").data["text/plain"] == str(os.nice(0) + 7)
        manager.restart_kernel()
        assert client.run("'again'").ok
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert manager.exit_status is not None


def test_example_passes_the_contract_suite(installed_example: Path, tmp_path: Path) -> None:
    """With its own tests, copied to a place where no configuration of this repository is found."""
    shutil.copytree(EXAMPLE / "tests", tmp_path / "example" / "tests")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path / "example",
        env={**os.environ, "PYTHONPATH": str(installed_example)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert " passed" in outcome.stdout
