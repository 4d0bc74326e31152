"""`kernelyard provisioners`, with plugins of several kinds installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import kernelyard

PLUGINS = """
import asyncio
from kernelyard import hookimpl

class Place:
    @hookimpl
    async def kernelyard_launch(self, request): ...
    @hookimpl
    async def kernelyard_poll(self, handle): ...
    @hookimpl
    async def kernelyard_signal(self, handle, signum): ...
    @hookimpl
    async def kernelyard_kill(self, handle): ...
    @hookimpl
    async def kernelyard_cleanup(self, handle): ...

class Down(Place):
    @hookimpl
    async def kernelyard_check(self):
        return {"ok": False, "version": "9", "detail": "The engine does not answer.", "hint": "Start it."}

class Failing(Place):
    @hookimpl
    async def kernelyard_check(self):
        raise ZeroDivisionError("in the check")

class Lacking:
    @hookimpl
    async def kernelyard_poll(self, handle): ...

class Observer:
    @hookimpl
    async def kernelyard_on_exit(self, handle, status): ...

class Policy:
    @hookimpl
    async def kernelyard_prepare(self, request): return request

class Plain:
    @hookimpl
    def kernelyard_on_exit(self, handle, status): ...
"""

ENTRY_POINTS = """
[kernelyard.provisioners]
down = yard_plugins:Down
failing = yard_plugins:Failing
lacking = yard_plugins:Lacking
missing = no_such_module:Place
silent = yard_plugins:Place

[kernelyard.plugins]
limits = yard_plugins:Policy
plain = yard_plugins:Plain
watcher = yard_plugins:Observer
"""


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, str]:
    """The environment in which a package with these plugins is installed."""
    site = tmp_path / "site"
    metadata = site / "yard_plugins-1.2.dist-info"
    metadata.mkdir(parents=True)
    (site / "yard_plugins.py").write_text(PLUGINS)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: yard-plugins\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": str(site)}


def test_each_is_shown_with_its_package_and_what_is_wrong_with_it(plugins: dict[str, str]) -> None:
    result = kernelyard("provisioners", "--json", env=plugins)
    assert (result.status, result.err) == (0, "")
    found = {each["name"]: each for each in json.loads(result.out)}
    assert list(found)[-3:] == ["limits", "plain", "watcher"]
    assert {name for name, each in found.items() if each["ok"]} >= {"local", "silent", "limits", "watcher"}
    assert {name for name, each in found.items() if not each["ok"]} == {
        *("down", "failing", "lacking", "missing", "plain")
    }
    down = found["down"]
    assert (down["package"], down["package_version"], down["version"]) == ("yard-plugins", "1.2", "9")
    assert (down["detail"], down["hint"]) == ("The engine does not answer.", "Start it.")
    assert "ZeroDivisionError: in the check" in found["failing"]["detail"]
    assert "lacks the hooks launch, signal, kill, cleanup" in found["lacking"]["detail"]
    assert "No module named 'no_such_module'" in found["missing"]["detail"]
    assert "must be `async def`" in found["plain"]["detail"]
    assert (found["limits"]["kind"], found["watcher"]["kind"]) == ("policy", "observer")


def test_as_a_table_each_has_its_row(plugins: dict[str, str]) -> None:
    lines = kernelyard("provisioners", env=plugins).out.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert rows["down"].split()[1:6] == ["provisioner", "yard-plugins", "1.2", "not", "usable"]
    assert rows["down"].endswith("The engine does not answer. hint: Start it.")
    assert rows["local"].split()[1] == "provisioner"


def test_a_plan_names_the_policies_that_will_be_asked(plugins: dict[str, str]) -> None:
    result = kernelyard("plan", "python3", env=plugins)
    assert result.status == 0
    assert "policy limits" in result.out
    assert "plugin 'plain' is left out" in result.err
    assert "Traceback" not in result.err
