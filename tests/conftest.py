"""What every test has: directories of its own, a kernelspec of its own if it wants one, and a guard against leaks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernelyard.testing import LeakGuard

from tests import engines

MakeKernel = Callable[..., str]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "leaks_elsewhere: another project's code, run in this process, leaks here"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fail at once if an engine that must be there is not."""
    missing = engines.missing_but_required()
    if missing:
        raise pytest.UsageError(missing)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in engines.left_out():
        terminalreporter.write_line(line)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Path:
    """Where the connection files, logs and sockets of the test's kernels are."""
    return tmp_path / "runtime"


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Jupyter's and IPython's files of the machine out of the test, and the test's out of them."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime_dir))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    runtime_dir.mkdir()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, own_directories: None, runtime_dir: Path) -> Iterator[None]:
    """Fail a test that leaves a process, a thread, a descriptor or a file in the runtime directory behind."""
    guard = LeakGuard(runtime_dir)
    yield
    if request.node.get_closest_marker("leaks_elsewhere"):
        return
    deadline = time.monotonic() + 5
    while left := guard.leaks():
        if time.monotonic() >= deadline:
            pytest.fail("left behind:\n  " + "\n  ".join(left))
        time.sleep(0.02)


@pytest.fixture
def make_kernel(tmp_path: Path) -> MakeKernel:
    """Return a function that installs a kernelspec for this test, and returns its name."""

    def make(name: str, argv: list[str] | None = None, **spec: Any) -> str:
        directory = tmp_path / "data" / "kernels" / name
        directory.mkdir(parents=True)
        content = {
            "argv": argv or [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
            **spec,
        }
        (directory / "kernel.json").write_text(json.dumps(content))
        return name

    return make


@pytest.fixture
def script_kernel(make_kernel: MakeKernel) -> MakeKernel:
    """Return a function that installs a "kernel" which only runs a Python script, and answers nothing."""

    def make(script: str, name: str = "script", **spec: Any) -> str:
        return make_kernel(name, [sys.executable, "-c", script, "{connection_file}"], **spec)

    return make
