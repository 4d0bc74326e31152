"""The contract suite finds provisioners that break the contract: each of these breaks one sentence."""

import re
import subprocess
import sys
from pathlib import Path

_HEAD = """
import dataclasses
import os
import signal

import pytest
from kernelyard.hookspecs import hookimpl
from kernelyard.testing import ProvisionerContract
from kernelyard.types import ExitReason, ExitStatus
from kernelyard_local import LocalProvisioner


class TestWhole(ProvisionerContract):
    @pytest.fixture
    def provisioner(self):
        return LocalProvisioner()
"""

_PORTS = """
    @hookimpl
    async def kernelyard_launch(self, request):
        connection = dataclasses.replace(request.connection, shell_port=0)
        return await super().kernelyard_launch(dataclasses.replace(request, connection=connection))
"""

_SECRET = """
    @hookimpl
    async def kernelyard_launch(self, request):
        env = dict(request.env, KEY=request.connection.key)
        return await super().kernelyard_launch(dataclasses.replace(request, env=env))
"""

_FILES = """
    @hookimpl
    async def kernelyard_cleanup(self, handle, restart):
        await super().kernelyard_cleanup(handle, True)
"""

_FORGETFUL = """
    @hookimpl
    async def kernelyard_poll(self, handle):
        status = await super().kernelyard_poll(handle)
        return None if status is None else ExitStatus(reason=ExitReason.LOST)
"""

_CHILDLESS = """
    @hookimpl
    async def kernelyard_signal(self, handle, signum):
        os.kill(handle.ref["pid"], signum)
"""

_STATEFUL = """
    @hookimpl
    async def kernelyard_launch(self, request):
        handle = await super().kernelyard_launch(request)
        self.known = {*getattr(self, "known", ()), handle.kernel_id}
        return handle

    @hookimpl
    async def kernelyard_poll(self, handle):
        if handle.kernel_id not in getattr(self, "known", ()):
            return ExitStatus(reason=ExitReason.LOST)
        return await super().kernelyard_poll(handle)
"""

_PLAIN = """
    @hookimpl
    def kernelyard_check(self):
        return {"ok": True}
"""


_CLASS = """

class {name}(LocalProvisioner):
{body}

class Test{name}(ProvisionerContract):
    @pytest.fixture
    def provisioner(self):
        return {name}()

    @pytest.fixture
    def start_timeout(self):
        return 5.0
"""

#: The name of a broken provisioner, what is broken in it, and the test that is about that.
_BROKEN = [
    ("ReplacesPorts", _PORTS, "test_taken_port_is_refused"),
    ("PutsTheKeyIntoTheEnvironment", _SECRET, "test_key_is_not_in_the_command_line_or_the_environment"),
    ("LeavesFiles", _FILES, "test_cleanup_may_be_repeated_and_overlap"),
    ("ForgetsTheExitCode", _FORGETFUL, "test_exit_code_is_told_however_often_it_is_asked[3]"),
    ("SignalsTheKernelAlone", _CHILDLESS, "test_signal_reaches_the_children"),
    ("KeepsState", _STATEFUL, "test_fresh_provisioner_takes_an_old_handle"),
    ("HasAPlainFunctionForAHook", _PLAIN, "test_check_says_whether_the_place_can_be_used"),
]


def test_broken_provisioners_are_found(tmp_path: Path):
    """The test that is about the sentence fails, and passes for a provisioner that is not broken."""
    path = tmp_path / "test_them.py"
    path.write_text(_HEAD + "".join(_CLASS.format(name=name, body=body) for name, body, _ in _BROKEN))
    broken = {f"Test{name}::{test}" for name, _, test in _BROKEN}
    whole = {f"TestWhole::{test}" for _, _, test in _BROKEN}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider"]
    tests = [f"{path}::{test}" for test in sorted(broken | whole)]
    done = subprocess.run([*command, *tests], cwd=tmp_path, capture_output=True, text=True, check=False)
    told = re.findall(r"^(PASSED|FAILED|ERROR) [^:]*::(\S+)", done.stdout, re.MULTILINE)
    # A test whose fixtures fail after it has passed is told twice.
    failed = {test for outcome, test in told if outcome != "PASSED"}
    assert failed == broken, done.stdout + done.stderr
    assert {test for _, test in told} == broken | whole, done.stdout + done.stderr
