"""The command at a terminal: Ctrl-C, questions, colours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernelyard.cli._terminal import strip_colours

from tests.cli.command import CTRL_C, CTRL_D, Terminal
from tests.conftest import MakeKernel

BUSY = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.1)"


def test_ctrl_c_interrupts_the_code() -> None:
    with Terminal("run", "-c", BUSY) as terminal:
        terminal.see("begun")
        terminal.type(CTRL_C)
        terminal.see("interrupted; once more to stop the kernel")
        terminal.see("KeyboardInterrupt")
        assert terminal.end() == 130


def test_code_that_handles_the_interrupt_goes_on() -> None:
    code = "try:\n    " + BUSY.replace("\n", "\n    ") + "\nexcept KeyboardInterrupt:\n    print('handled')"
    with Terminal("run", "-c", code) as terminal:
        terminal.see("begun")
        terminal.type(CTRL_C)
        terminal.see("handled")
        assert terminal.end() == 0


def test_a_second_ctrl_c_stops_the_kernel() -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + BUSY
    with Terminal("run", "-c", code) as terminal:
        terminal.see("begun")
        terminal.type(CTRL_C)
        terminal.see("once more")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_ctrl_c_before_the_kernel_answers_ends_everything(script_kernel: MakeKernel, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)  # the kernel waits here until the test does, and the other way round
    name = script_kernel(f"import time; open({str(gate)!r}, 'w').close(); time.sleep(600)")
    with Terminal("run", "-k", name, "-c", "1") as terminal:
        gate.read_bytes()
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert "Traceback" not in terminal.screen


def test_code_asks_the_person() -> None:
    with Terminal("run", "-c", "print('hello', input('name? ').upper())") as terminal:
        terminal.see("name? ")
        terminal.type("ann\n")
        terminal.see("hello ANN")
        assert terminal.end() == 0


def test_a_password_is_not_shown_and_the_terminal_is_as_before() -> None:
    code = "import getpass; print(len(getpass.getpass('word? '))); print(input('shown? '))"
    with Terminal("run", "-c", code) as terminal:
        terminal.see("word? ")
        terminal.type("hunter2\n")
        terminal.see("7\r\n")
        assert "hunter2" not in terminal.screen
        terminal.see("shown? ")
        terminal.type("yes\n")
        terminal.see("yes\r\nyes\r\n")
        assert terminal.end() == 0


def test_ctrl_d_is_the_end_of_the_input() -> None:
    code = "try:\n    input('name? ')\nexcept EOFError:\n    print('nothing')"
    with Terminal("run", "-c", code) as terminal:
        terminal.see("name? ")
        terminal.type(CTRL_D)
        terminal.see("nothing")
        assert terminal.end() == 0


def test_ctrl_c_at_a_question_interrupts_the_code() -> None:
    with Terminal("run", "-c", "import getpass; getpass.getpass('word? ')") as terminal:
        terminal.see("word? ")
        terminal.type(CTRL_C)
        terminal.see("KeyboardInterrupt")
        assert terminal.end() == 130


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_traceback_is_coloured_unless_the_person_wants_none(env: dict[str, str], coloured: bool) -> None:
    with Terminal("run", "-c", "1/0", env=env) as terminal:
        assert terminal.end() == 1
        assert ("\x1b[" in terminal.screen) is coloured
        assert "division by zero" in terminal.screen


def test_there_must_be_something_to_run() -> None:
    with Terminal("run") as terminal:
        assert terminal.end() == 2
        assert "give -c CODE or FILE" in terminal.screen


@pytest.mark.parametrize(("answer", "status", "left"), [("n\n", 1, True), ("y\n", 0, False)])
def test_removing_a_kernelspec_asks(
    make_kernel: MakeKernel, tmp_path: Path, answer: str, status: int, left: bool
) -> None:
    make_kernel("old")
    with Terminal("specs", "remove", "old") as terminal:
        terminal.see("Remove?")
        terminal.type(answer)
        assert terminal.end() == status
    assert (tmp_path / "data" / "kernels" / "old").exists() is left


def test_a_table_fits_the_terminal(make_kernel: MakeKernel) -> None:
    make_kernel("one", display_name="A kernel " * 20)
    with Terminal("specs", "list", env={"COLUMNS": "70", "NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
    shown = strip_colours(terminal.screen)
    assert max(len(line) for line in shown.splitlines()) <= 70
    assert "…" not in shown
