"""The contract, kept without pidfds: what other systems than Linux get, run on this one."""

import sys

import pytest
from kernelyard.testing.endings import EndingContract
from kernelyard.testing.launching import LaunchContract
from kernelyard.testing.offers import OfferContract
from kernelyard_local import LocalProvisioner
from kernelyard_local._portable import PortableProcesses


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
class TestWithoutPidfds(LaunchContract, EndingContract, OfferContract):
    @pytest.fixture(autouse=True)
    def portable(self, monkeypatch):
        processes = PortableProcesses()
        monkeypatch.setattr("kernelyard_local.provisioner.platform_processes", lambda: processes)

    @pytest.fixture
    def provisioner(self, portable):
        return LocalProvisioner()
