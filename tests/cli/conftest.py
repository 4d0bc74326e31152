from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import processes_with


@pytest.fixture(autouse=True)
def nothing_left_by_the_command(own_directories: None, runtime_dir: Path) -> Iterator[None]:
    """Fail a test after which a kernel runs, or a file is left: at once, since the command said that it was done."""
    yield
    assert processes_with("JUPYTER_RUNTIME_DIR", str(runtime_dir)) == []
    assert sorted(runtime_dir.iterdir()) == []
