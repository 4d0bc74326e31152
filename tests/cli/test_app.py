"""What is the same for all commands: version, help, completion, and a Python without the extra."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.cli.command import COMMAND, kernelyard
from tests.conftest import MakeKernel


def test_the_version_is_that_of_the_package() -> None:
    assert kernelyard("--version").out == f"kernelyard {version('kernelyard-core')}\n"


def test_help_is_for_people_and_loads_nothing_heavy() -> None:
    program = (
        "import sys; from kernelyard.cli import main\n"
        "try: main()\n"
        "finally: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True
    )
    for command in ("run", "plan", "specs", "provisioners", "completion"):
        assert f"\n  {command} " in done.stdout
    assert not {"zmq", "traitlets", "pluggy", "rich", "jupyter_core", "asyncio"} & set(done.stderr.split())


def test_a_command_that_does_not_exist_is_refused() -> None:
    result = kernelyard("rnu")
    assert result.status == 2
    assert "No such command 'rnu'" in result.err


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['click'] = None; from kernelyard.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'kernelyard-core[cli]'" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str) -> None:
    result = kernelyard("completion", shell)
    assert result.status == 0
    assert "_KERNELYARD_COMPLETE" in result.out


@pytest.mark.parametrize(
    "words", ["kernelyard run --kernel mi", "kernelyard plan mi", "kernelyard specs show mi"]
)
def test_names_of_kernels_are_completed(make_kernel: MakeKernel, words: str) -> None:
    make_kernel("mine")
    make_kernel("yours")
    env = {"_KERNELYARD_COMPLETE": "bash_complete", "COMP_WORDS": words}
    result = kernelyard(env={**env, "COMP_CWORD": str(len(words.split()) - 1)})
    assert result.out == "plain,mine\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    """As with `| head -1`."""
    done = subprocess.run(
        ["sh", "-c", '"$@" | true; exit 0', "sh", *COMMAND, "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
