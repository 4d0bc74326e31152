"""`kernelyard specs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import kernelyard
from tests.conftest import MakeKernel


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a kernel.json, to install."""
    directory = tmp_path / "source" / "Mine"
    directory.mkdir(parents=True)
    content = {"argv": ["mine", "{connection_file}"], "display_name": "Mine", "language": "my"}
    (directory / "kernel.json").write_text(json.dumps(content))
    return directory


def test_those_that_can_be_used_and_those_that_cannot_are_listed(
    make_kernel: MakeKernel, tmp_path: Path
) -> None:
    make_kernel("good", display_name="Good one")
    make_kernel("elsewhere", metadata={"kernel_provisioner": {"provisioner_name": "moon"}})
    make_kernel("broken", [])
    (tmp_path / "data" / "kernels" / "broken" / "kernel.json").write_text('{"display_name": 1}')
    rows = {line.split()[0]: line for line in kernelyard("specs", "list").out.splitlines()}
    assert rows["good"].split() == [
        "good",
        "python",
        "Good",
        "one",
        "local",
        str(tmp_path / "data/kernels/good"),
    ]
    assert "moon (not installed)" in rows["elsewhere"]
    assert "argv" in rows["broken"]
    listed = {each["name"]: each for each in json.loads(kernelyard("specs", "list", "--json").out)}
    assert listed["good"]["spec"]["display_name"] == "Good one"
    assert (listed["good"]["provisioner"], listed["good"]["error"]) == ("local", None)
    assert listed["elsewhere"]["provisioner_installed"] is False
    assert listed["broken"]["spec"] is None
    assert "kernel.json" in listed["broken"]["error"]


def test_one_is_shown(make_kernel: MakeKernel) -> None:
    stanza = {"provisioner_name": "local", "config": {"output_lines": 3}, "resources": {"cpus": 1}}
    make_kernel("mine", env={"MODE": "fast"}, metadata={"kernel_provisioner": stanza, "debugger": True})
    result = kernelyard("specs", "show", "MINE")
    rows = {line.split("  ")[0].strip(): line for line in result.out.splitlines()}
    assert rows["env MODE"].endswith("fast")
    assert '{"output_lines": 3}' in result.out
    shown = json.loads(kernelyard("specs", "show", "mine", "--json").out)
    assert shown["spec"]["metadata"]["kernel_provisioner"] == stanza


def test_one_that_does_not_exist_is_told_with_those_that_do(make_kernel: MakeKernel) -> None:
    make_kernel("mine")
    result = kernelyard("specs", "show", "mime")
    assert result.status == 2
    assert result.err.startswith("error: No such kernel named mime\nhint: Did you mean 'mine'?")


def test_one_is_installed_for_the_user_and_removed(source: Path, tmp_path: Path) -> None:
    destination = tmp_path / "data" / "kernels" / "mine"
    result = kernelyard("specs", "install", str(source), "--user")
    assert (result.status, result.out, result.err) == (0, f"Installed mine in {destination}\n", "")
    assert (destination / "kernel.json").exists()
    result = kernelyard("specs", "remove", "-y", "Mine", "mine")
    assert (result.status, result.out) == (0, f"Removed {destination}\n")
    assert not destination.exists()


def test_one_is_installed_under_another_name_into_a_prefix(source: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    result = kernelyard("specs", "install", str(source), "--name", "other", "--prefix", str(prefix))
    assert result.status == 0
    assert (prefix / "share" / "jupyter" / "kernels" / "other" / "kernel.json").exists()
    assert "is not on the search path of kernelspecs" in result.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--user", "--sys-prefix"), "at most one"),
        (("--user", "--name", "no way"), "cannot be the name of a kernel"),
    ],
)
def test_an_installation_that_cannot_be_is_refused(source: Path, args: tuple[str, ...], says: str) -> None:
    result = kernelyard("specs", "install", str(source), *args)
    assert (result.status, result.out) == (2, "")
    assert says in result.err


def test_a_directory_without_a_kernelspec_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = kernelyard("specs", "install", str(tmp_path / "empty"), "--user")
    assert result.status == 2
    assert "has no kernel.json" in result.err


def test_a_place_that_cannot_be_written_is_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = kernelyard("specs", "install", str(source), "--prefix", str(tmp_path / "file"))
    assert result.status == 2
    assert f"error: {source} cannot be installed" in result.err
    assert "Traceback" not in result.err


def test_nothing_is_removed_without_a_yes(make_kernel: MakeKernel, tmp_path: Path) -> None:
    make_kernel("mine")
    result = kernelyard("specs", "remove", "mine")
    assert result.status == 2
    assert "give -y" in result.err
    assert (tmp_path / "data" / "kernels" / "mine").exists()


def test_nothing_is_removed_if_one_does_not_exist(make_kernel: MakeKernel, tmp_path: Path) -> None:
    make_kernel("mine")
    assert kernelyard("specs", "remove", "-y", "mine", "nope").status == 2
    assert (tmp_path / "data" / "kernels" / "mine").exists()
