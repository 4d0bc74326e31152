"""The reference page of the command says what the command says."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.pages import DOCS


def test_the_page_has_the_help_of_every_command_as_it_is_today() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate_cli.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
