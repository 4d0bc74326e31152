"""`kernelyard plan`: what would be launched, by whom it was decided, and that nothing happens."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import kernelyard
from tests.conftest import MakeKernel


def plan(*args: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = kernelyard("plan", *args, "--json", env=env)
    assert (result.status, result.err) == (0, "")
    shown: dict[str, Any] = json.loads(result.out)
    return shown


def test_every_part_is_shown_with_the_layer_that_set_it(make_kernel: MakeKernel, tmp_path: Path) -> None:
    name = make_kernel(
        "mine",
        env={"MODE": "${SITE}-fast"},
        interrupt_mode="message",
        metadata={
            "kernel_provisioner": {
                "provisioner_name": "local",
                "config": {"output_lines": 5},
                "resources": {"pids": 100, "memory": "1g"},
            }
        },
    )
    file = str(tmp_path / "data" / "kernels" / "mine" / "kernel.json")
    options = ("--resource", "memory=2g", "--cwd", str(tmp_path), "--env", "MORE=1")
    shown = plan(name, *options, env={"SITE": "here"})
    assert shown["argv"][:3] == [sys.executable, "-m", "ipykernel_launcher"]
    assert shown["env"] == {"MODE": "here-fast", "MORE": "1"}
    assert shown["settings"] == {"output_lines": 5}
    assert shown["resources"] == {"memory": 2 * 2**30, "pids": 100}
    assert (shown["cwd"], shown["interrupt_mode"]) == (str(tmp_path), "message")
    assert shown["place"]["cwd"] == str(tmp_path)
    origins = shown["origins"]
    assert {origins[part] for part in ("argv", "env.MODE", "settings.output_lines", "resources.pids")} == {
        file
    }
    assert origins["resources.memory"] == "the command line (--resource)"
    assert (origins["cwd"], origins["env.MORE"]) == ("the command line",) * 2


def test_options_win_over_the_kernelspec(make_kernel: MakeKernel) -> None:
    stanza = {"provisioner_name": "local", "config": {"output_lines": 5}}
    shown = plan(make_kernel("mine", metadata={"kernel_provisioner": stanza}), "--set", "output_lines=7")
    assert shown["settings"] == {"output_lines": 7}
    assert shown["origins"]["settings.output_lines"] == "the command line (--set)"


def test_secrets_are_masked(make_kernel: MakeKernel) -> None:
    argv = ["kernel", "--token=hunter2", "-f", "{connection_file}", "http://ann:hunter2@host/"]
    name = make_kernel("mine", argv, env={"API_KEY": "hunter2", "URL": "ftp://ann:hunter2@host"})
    for args in (("plan", name, "--env", "DB_PASSWORD=hunter2"), ("specs", "show", name)):
        for form in ((), ("--json",)) if args[0] == "plan" else ((),):
            result = kernelyard(*args, *form)
            assert result.status == 0
            assert "hunter2" not in result.out
            assert "***" in result.out


def test_the_variables_of_this_process_are_not_listed(make_kernel: MakeKernel) -> None:
    shown = plan(make_kernel("mine"), "--env", "A=1", env={"MY_OWN": "x"})
    assert shown["env"] == {"A": "1"}
    assert shown["inherits_env"] is True
    assert "MY_OWN" not in str(shown)


def test_as_a_table_each_part_has_its_row(make_kernel: MakeKernel) -> None:
    result = kernelyard("plan", make_kernel("mine"), "--set", "output_lines=7")
    rows = {line.split("  ")[0]: line for line in result.out.splitlines()}
    assert " ".join(rows["setting output_lines"].split()) == "setting output_lines 7 the command line (--set)"
    assert rows["command"].endswith("kernel.json")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nope",), "No such kernel named nope"),
        (("mine", "--set", "x=1"), "has no setting 'x'"),
        (("mine", "--resource", "cpu=1"), "Did you mean 'cpus'"),
        (("mine", "--env", "=1"), "KEY=VALUE"),
    ],
)
def test_a_launch_that_would_fail_is_told(make_kernel: MakeKernel, args: tuple[str, ...], says: str) -> None:
    make_kernel("mine")
    result = kernelyard("plan", *args)
    assert (result.status, result.out) == (2, "")
    assert says in result.err


def test_the_sites_configuration_is_read(make_kernel: MakeKernel, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "kernelyard_config.py").write_text(
        "c.LocalProvisioner.output_lines = 3\nc.KernelManager.ip = '127.0.0.2'\n"
    )
    shown = plan(make_kernel("mine"))
    assert shown["settings"] == {"output_lines": 3}
    assert shown["origins"]["settings.output_lines"] == "site configuration"
    assert shown["place"]["ip"] == "127.0.0.2"
    (config / "kernelyard_config.json").write_text("{")
    broken = kernelyard("plan", "mine")
    assert broken.status == 2
    assert "kernelyard_config.json" in broken.err
