"""Failures speak: every error says what was tried, what happened and what to do; and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from kernelyard import (
    AsyncKernelManager,
    ExitReason,
    KernelDiedError,
    KernelManager,
    KernelNotReadyError,
    KernelStartError,
    KernelyardError,
    Phase,
    errors,
    start_new_async_kernel,
    start_new_kernel,
)


def test_a_kernel_that_dies_while_starting_says_how(script_kernel, runtime_dir):
    name = script_kernel("import sys; print('out'); print('no such module', file=sys.stderr); sys.exit(3)")
    with pytest.raises(KernelStartError) as caught:
        start_new_kernel(kernel_name=name)
    error = caught.value
    assert isinstance(error, RuntimeError)
    assert (error.exit_status.reason, error.exit_status.exit_code) == (ExitReason.STARTUP, 3)
    assert error.exit_status.phase is Phase.STARTING
    assert error.exit_status.output == ("out", "no such module") or set(error.exit_status.output) == {
        "out",
        "no such module",
    }
    text = str(error)
    assert "exited with code 3" in text
    assert "no such module" in text
    assert error.kernel_id
    assert error.provisioner == "local"
    assert list(runtime_dir.iterdir()) == []


def test_a_signal_while_starting_is_named(script_kernel):
    name = script_kernel("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(KernelStartError, match="killed by SIGSEGV") as caught:
        start_new_kernel(kernel_name=name)
    assert (caught.value.exit_status.reason, caught.value.exit_status.signal) == (
        ExitReason.SIGNAL,
        signal.SIGSEGV,
    )


@pytest.mark.anyio
async def test_the_async_helper_tells_the_same(script_kernel, runtime_dir):
    with pytest.raises(KernelStartError, match="code 3"):
        await start_new_async_kernel(kernel_name=script_kernel("raise SystemExit(3)"))
    assert list(runtime_dir.iterdir()) == []


def test_wait_for_ready_of_the_manager_tells_the_same(script_kernel):
    km = KernelManager(kernel_name=script_kernel("print('bye'); raise SystemExit(3)"))
    km.start_kernel()
    with pytest.raises(KernelStartError, match=r"(?s)code 3.*bye"):
        km.wait_for_ready()
    km.shutdown_kernel()


def test_a_kernel_that_never_answers_is_given_up_with_its_last_lines(script_kernel, runtime_dir):
    name = script_kernel("import time; print('loading a lot', flush=True); time.sleep(600)")
    km = KernelManager(kernel_name=name)
    km.start_kernel()
    with pytest.raises(KernelNotReadyError, match="loading a lot") as caught:
        km.wait_for_ready(timeout=1.5)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, RuntimeError)
    km.shutdown_kernel(now=True)
    with pytest.raises(KernelNotReadyError, match="loading a lot"):
        start_new_kernel(kernel_name=name, startup_timeout=1.5)
    assert list(runtime_dir.iterdir()) == []


def test_a_kernel_that_dies_in_a_cell_ends_the_wait_for_it():
    km, kc = start_new_kernel()
    for doing in (
        lambda: kc.run("import os; os._exit(7)"),
        lambda: kc.execute_interactive("import os; os._exit(7)"),
        lambda: kc.execute("import os; os._exit(7)", reply=True),
        lambda: list(kc.outputs("import os; os._exit(7)")),
    ):
        with pytest.raises(KernelDiedError, match="code 7") as caught:
            doing()
        assert (caught.value.exit_status.reason, caught.value.exit_status.exit_code) == (
            ExitReason.EXIT_CODE,
            7,
        )
        assert km.exit_status.exit_code == 7
        km.start_kernel()
        kc.wait_for_ready(timeout=60)
    kc.stop_channels()
    km.shutdown_kernel(now=True)


def test_a_killed_kernel_is_told_apart():
    km, kc = start_new_kernel()
    with pytest.raises(KernelDiedError, match="SIGKILL"):
        kc.run("import os; os.kill(os.getpid(), 9)")
    assert km.exit_status.signal == signal.SIGKILL
    kc.stop_channels()
    km.shutdown_kernel()


def test_an_unknown_kernel_names_those_that_exist_and_the_nearest():
    with pytest.raises(KeyError) as caught:
        KernelManager(kernel_name="pyhton3").start_kernel()
    text = str(caught.value)
    assert "pyhton3" in text
    assert "python3" in text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{not json", "JSON"),
        (json.dumps({"display_name": "x"}), "argv"),
        (json.dumps({"argv": "python", "display_name": "x"}), "argv"),
    ],
)
def test_a_bad_kernel_json_names_the_file_and_what_is_wrong(tmp_path, content, complaint):
    directory = tmp_path / "data" / "kernels" / "bad"
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(content)
    with pytest.raises(ValueError, match=complaint) as caught:
        KernelManager(kernel_name="bad").start_kernel()
    assert isinstance(caught.value, errors.InvalidKernelSpecError)
    assert str(directory / "kernel.json") in str(caught.value)


def test_a_provisioner_that_is_not_installed_says_what_to_install(make_kernel):
    name = make_kernel("far", metadata={"kernel_provisioner": {"provisioner_name": "slurm"}})
    with pytest.raises(errors.ProvisionerNotFoundError, match="pip install kernelyard-slurm") as caught:
        KernelManager(kernel_name=name).start_kernel()
    assert "far" in str(caught.value)
    assert "kernel.json" in str(caught.value)
    assert "local" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"output_line": 5}, r"(?s)no setting 'output_line'.*output_lines"),
        ({"output_lines": "many"}, r"(?s)'output_lines'.*'many'.*str"),
    ],
)
def test_a_wrong_setting_names_file_key_and_what_is_accepted(make_kernel, config, complaint):
    stanza = {"provisioner_name": "local-provisioner", "config": config}
    name = make_kernel("odd", metadata={"kernel_provisioner": stanza})
    with pytest.raises(errors.InvalidConfigError, match=complaint) as caught:
        KernelManager(kernel_name=name).start_kernel()
    assert "kernel.json" in str(caught.value)
    with pytest.raises(errors.InvalidConfigError, match=complaint):
        KernelManager().start_kernel(provisioner_config=config)


def test_a_wrong_resource_is_refused(make_kernel):
    with pytest.raises(errors.InvalidConfigError, match=r"(?s)no resource 'memroy'.*memory"):
        KernelManager().start_kernel(resources={"memroy": "2g"})
    with pytest.raises(errors.InvalidConfigError, match="amount of memory"):
        KernelManager().start_kernel(resources={"memory": "lots"})


def test_a_locked_setting_is_refused_with_the_sites_value(make_kernel):
    from traitlets.config import Config

    config = Config({"LocalProvisioner": {"locked": {"output_lines"}, "output_lines": 10}})
    with pytest.raises(errors.InvalidConfigError, match="locked"):
        KernelManager(config=config).start_kernel(provisioner_config={"output_lines": 5})


def test_a_working_directory_that_is_missing_is_named(script_kernel, runtime_dir):
    with pytest.raises(errors.LaunchError, match="/no/such/directory"):
        KernelManager(kernel_name=script_kernel("pass")).start_kernel(cwd="/no/such/directory")
    assert list(runtime_dir.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a plain process are Linux's")
def test_a_memory_limit_ends_in_a_memory_error_and_the_kernel_lives():
    km = KernelManager()
    km.start_kernel(resources={"memory": "1g"})
    with km.client() as kc:
        kc.wait_for_ready(timeout=60)
        result = kc.run("x = bytearray(3 << 30)", raise_on_error=False)
        assert result.error.ename == "MemoryError"
        assert kc.run("1 + 1").data["text/plain"] == "2"
    km.shutdown_kernel(now=True)


def test_secrets_are_in_no_command_line_environment_repr_or_log(caplog):
    caplog.set_level(0)
    km, kc = start_new_kernel()
    key = km.session.key.decode()
    pid = km.provisioner.pid
    with open(f"/proc/{pid}/cmdline", "rb") as cmdline, open(f"/proc/{pid}/environ", "rb") as environ:
        assert key.encode() not in cmdline.read() + environ.read()
    assert key not in repr(km.handle) + repr(km.handle.connection) + repr(km) + repr(kc) + repr(
        km.provisioner
    )
    with pytest.raises(KernelyardError) as caught:
        km.start_kernel()
    assert key not in str(caught.value)
    assert key not in caplog.text
    assert os.stat(km.connection_file).st_mode & 0o77 == 0
    kc.stop_channels()
    km.shutdown_kernel(now=True)


def test_the_error_tree_in_the_docstring_is_the_real_one():
    named = {line.split("──")[1].split()[0] for line in errors.__doc__.splitlines() if "──" in line}
    defined = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, KernelyardError)}
    assert named | {"KernelyardError"} == defined == set(errors.__all__)


@pytest.mark.anyio
async def test_a_broken_observer_stops_nothing_and_a_policy_may_refuse(script_kernel, caplog, monkeypatch):
    from kernelyard import hookimpl

    seen = []

    class Broken:
        @hookimpl
        async def kernelyard_on_launch(self, handle):
            raise ZeroDivisionError

    class Watching:
        @hookimpl
        async def kernelyard_on_launch(self, handle):
            seen.append(("launch", handle.kernel_id))

        @hookimpl
        async def kernelyard_on_exit(self, handle, status):
            seen.append(("exit", status.signal))

        @hookimpl
        async def kernelyard_on_restart(self, handle, status):
            seen.append(("restart", status.signal))

        @hookimpl
        async def kernelyard_on_cleanup(self, handle, restart):
            seen.append(("cleanup", restart))

    class Policy:
        @hookimpl
        async def kernelyard_prepare(self, request):
            if request.cwd == "/forbidden":
                raise errors.LaunchRefusedError("not there")
            return request

    plugins = (("broken", Broken()), ("watching", Watching()), ("policy", Policy()))
    monkeypatch.setattr("kernelyard._plugins.load_plugins", lambda: plugins)
    km = AsyncKernelManager(kernel_name=script_kernel("import time; time.sleep(600)"))
    with pytest.raises(errors.LaunchRefusedError, match="not there"):
        await km.start_kernel(cwd="/forbidden")
    await km.start_kernel()
    await km.restart_kernel(now=True)
    await km.shutdown_kernel(now=True)
    assert seen == [
        ("launch", km.kernel_id),
        ("exit", 9),
        ("cleanup", True),
        ("launch", km.kernel_id),
        ("restart", 9),
        ("exit", 9),
        ("cleanup", False),
    ]
    assert "observer 'broken' failed in on_launch" in caplog.text
