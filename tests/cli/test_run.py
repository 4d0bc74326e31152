"""`kernelyard run` with pipes, against real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PATIENCE, kernelyard, start
from tests.conftest import MakeKernel


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe with a name: who opens one end waits for who opens the other."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_outputs_go_where_the_code_sends_them_and_results_are_text() -> None:
    code = "import sys; from IPython.display import Markdown; print('out'); print('err', file=sys.stderr)\n"
    code += "display({'text/markdown': '# md'}, raw=True); 6 * 7"
    result = kernelyard("run", "-c", code)
    assert (result.status, result.out, result.err) == (0, "out\n# md\n42\n", "err\n")


def test_output_comes_while_the_code_runs(gate: Path) -> None:
    """The code goes on only after its first output was read."""
    code = f"print('first', flush=True)\nopen({str(gate)!r}).read()\nprint('second')"
    with start("run", "-c", code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        gate.write_bytes(b"go on")
        assert process.stdout.read() == b"second\n"
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("args", [("run",), ("run", "-")])
def test_piped_text_is_the_code(args: tuple[str, ...]) -> None:
    assert kernelyard(*args, piped="print('päiväys')\n1").out == "päiväys\n1\n"


def test_a_file_is_run_as_one_cell_whatever_marks_it_has(tmp_path: Path) -> None:
    script = tmp_path / "cells.py"
    script.write_text("# %% first\nx = 20\n# %% second\nprint(__name__)\nx + 1\n")
    assert kernelyard("run", str(script)).out == "__main__\n21\n"


def test_an_exception_is_shown_without_colours_and_makes_the_exit_status_1() -> None:
    result = kernelyard("run", "-c", "print('before')\n1/0")
    assert (result.status, result.out) == (1, "before\n")
    assert "ZeroDivisionError: division by zero" in result.err
    assert "\x1b" not in result.err


def test_what_the_program_itself_writes_is_not_changed() -> None:
    assert kernelyard("run", "-c", r"print('\x1b[31mred\x1b[0m')").out == "\x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("run", "-c", "1", "file.py"), "not both"),
        (("run", "missing.py"), "missing.py cannot be read"),
        (("run", "book.ipynb"), "is a notebook"),
        (("run", "-k", "pyhton3", "-c", "1"), "No such kernel named pyhton3"),
        (("run", "-k", "elsewhere", "-c", "1"), "pip install kernelyard-moon"),
        (("run", "-k", "broken", "-c", "1"), "kernel.json"),
        (("run", "--set", "output_lnies=3", "-c", "1"), "Did you mean 'output_lines'"),
        (("run", "--set", "no_value", "-c", "1"), "KEY=VALUE"),
        (("run", "--resource", "memory=much", "-c", "1"), "memory"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(
    args: tuple[str, ...], says: str, make_kernel: MakeKernel, tmp_path: Path
) -> None:
    make_kernel("elsewhere", metadata={"kernel_provisioner": {"provisioner_name": "moon"}})
    (tmp_path / "data" / "kernels" / "broken").mkdir()
    (tmp_path / "data" / "kernels" / "broken" / "kernel.json").write_text("{")
    result = kernelyard(*args)
    assert (result.status, result.out) == (2, "")
    assert says in result.err
    assert "Traceback" not in result.err


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\xff\xfe\x00")
    result = kernelyard("run", str(tmp_path / "data.bin"))
    assert result.status == 2
    assert "not text in UTF-8" in result.err


def test_a_kernel_whose_command_does_not_exist_makes_the_exit_status_3(make_kernel: MakeKernel) -> None:
    result = kernelyard("run", "-k", make_kernel("gone", ["no-such-command"]), "-c", "1")
    assert result.status == 3
    assert "error: Kernel 'gone' could not be started" in result.err
    assert "hint: Install the program" in result.err


def test_a_kernel_that_ends_at_its_start_is_told_with_its_last_lines(script_kernel: MakeKernel) -> None:
    name = script_kernel("import sys; print('no licence found'); sys.exit(7)")
    result = kernelyard("run", "-k", name, "-c", "1")
    assert result.status == 3
    assert "exited with code 7 while starting" in result.err
    assert "  no licence found\n" in result.err
    assert "Traceback" not in result.err


def test_a_kernel_that_never_answers_is_given_up(script_kernel: MakeKernel) -> None:
    name = script_kernel("import time; time.sleep(600)")
    result = kernelyard("run", "-k", name, "--startup-timeout", "0.3", "-c", "1")
    assert result.status == 3
    assert "did not answer within 0.3 s" in result.err


def test_a_kernel_that_dies_is_told_with_how_it_ended() -> None:
    result = kernelyard("run", "-c", "import os, sys; os.write(2, b'last words\\n'); os._exit(4)")
    assert result.status == 3
    assert "exited with code 4 while running" in result.err


def test_code_that_takes_too_long_is_stopped() -> None:
    result = kernelyard("run", "--timeout", "0.5", "-c", "print('begun', flush=True)\nwhile True: pass")
    assert (result.status, result.out) == (124, "begun\n")
    assert "did not end within 0.5 s" in result.err


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_kernel_and_the_command(signum: signal.Signals, status: int) -> None:
    with start("run", "-c", "print('begun', flush=True)\nwhile True: pass") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signum)
        assert process.wait(PATIENCE) == status


def test_a_signal_before_the_kernel_answers_ends_it_too(script_kernel: MakeKernel, gate: Path) -> None:
    name = script_kernel(f"import time; open({str(gate)!r}, 'w').close(); time.sleep(600)")
    with start("run", "-k", name, "-c", "1") as process:
        gate.read_bytes()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


def test_a_second_signal_ends_a_kernel_that_takes_its_time(tmp_path: Path) -> None:
    """The kernel ignores what it is asked; it is killed long before the shutdown would have come to SIGTERM."""
    told = tmp_path / "told"
    code = f"import pathlib, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntold = pathlib.Path({str(told)!r})\n"
    code += (
        "signal.signal(signal.SIGTERM, lambda *_: told.touch())\nprint('begun', flush=True)\nwhile True: pass"
    )
    with start("run", "-c", code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE) in (143, 129)  # either of them may be seen first
    assert not told.exists()


def test_a_hangup_that_the_caller_switched_off_stays_off(gate: Path) -> None:
    """As with nohup."""
    code = f"print('begun', flush=True)\nopen({str(gate)!r}).read()"
    with start("run", "-c", code, before=("sh", "-c", 'trap "" HUP; exec "$@"', "sh")) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        gate.write_bytes(b"go on")
        assert process.wait(PATIENCE) == 0


def test_streams_that_are_closed_are_no_error() -> None:
    """As with `>&-`: the numbers of the streams must not go to sockets."""
    with start("run", "-c", "print(1)\n1/0", before=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")) as process:
        assert process.wait(PATIENCE) == 1


def test_an_output_that_nobody_reads_any_more_ends_the_kernel() -> None:
    """As with `| head -1`."""
    with start("run", "-c", "while True: print('line')") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


def test_signals_get_through_while_nobody_reads_a_full_pipe() -> None:
    code = "import sys\nprint('begun', flush=True)\nprint('x' * 1_000_000, flush=True)\n"
    code += "sys.stderr.write('written'); sys.stderr.flush()\nwhile True: pass"
    with start("run", "-c", code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 143


def test_a_disk_that_is_full_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kernelyard", "run", "-c", "print(1)"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 141
    assert done.stderr == b"error: the output cannot be written: No space left on device\n"


def test_code_asks_and_is_answered_line_by_line_from_a_pipe() -> None:
    code = "import getpass; print(input('name? '), getpass.getpass('word? '), input())"
    result = kernelyard("run", "-c", code, piped="Ann\r\nsecret\nlast")
    assert (result.status, result.out) == (0, "Ann secret last\n")


def test_code_that_asks_when_there_are_no_more_lines_is_interrupted() -> None:
    result = kernelyard("run", "-c", "print(input()); print(input())", piped="one\n")
    assert (result.status, result.out) == (1, "one\n")
    assert "standard input is at its end" in result.err


def test_code_that_came_from_standard_input_may_not_ask() -> None:
    result = kernelyard("run", piped="input('name? ')")
    assert result.status == 1
    assert "StdinNotImplementedError" in result.err


def test_json_has_a_line_for_each_output_and_one_for_the_end() -> None:
    result = kernelyard("run", "--json", "-c", "print('a')\ndisplay(1)\n[2]")
    *outputs, end = lines_of(result.out)
    assert [output["output_type"] for output in outputs] == ["stream", "display_data", "execute_result"]
    assert outputs[0] == {"output_type": "stream", "name": "stdout", "text": "a\n"}
    assert outputs[2]["data"] == {"text/plain": "[2]"}
    assert end == {"status": "ok", "exit_code": 0, "execution_count": 1, "error": None}


def test_json_tells_of_an_exception() -> None:
    error, end = lines_of(kernelyard("run", "--json", "-c", "1/0").out)
    assert (error["output_type"], error["ename"]) == ("error", "ZeroDivisionError")
    assert (end["status"], end["exit_code"]) == ("error", 1)
    assert end["error"] == {"ename": "ZeroDivisionError", "evalue": "division by zero"}


def test_json_tells_how_a_kernel_died() -> None:
    [end] = lines_of(kernelyard("run", "--json", "-c", "import os; os._exit(4)").out)
    assert (end["status"], end["exit_code"], end["error"]["ename"]) == ("failed", 3, "KernelDiedError")
    assert end["error"]["kernel_exit"]["exit_code"] == 4


def test_json_tells_of_a_kernel_that_does_not_exist() -> None:
    [end] = lines_of(kernelyard("run", "--json", "-k", "nope", "-c", "1").out)
    assert (end["status"], end["exit_code"], end["error"]["ename"]) == ("failed", 2, "NoSuchKernel")


def test_the_kernel_starts_where_and_as_it_was_asked_to(tmp_path: Path) -> None:
    code = "import os\nprint(os.getcwd())\nfrom ipykernel.kernelapp import IPKernelApp\n"
    code += "print(IPKernelApp.instance().transport)"
    # The path of a socket may have 107 bytes, and pytest's directories are long.
    with tempfile.TemporaryDirectory(prefix="ky") as short:
        result = kernelyard(
            *("run", "--cwd", str(tmp_path), "--transport", "ipc", "-c", code),
            env={"JUPYTER_RUNTIME_DIR": short},
        )
        assert list(Path(short).iterdir()) == []
    assert result.out == f"{tmp_path}\nipc\n"


def test_a_directory_that_does_not_exist_is_told(tmp_path: Path) -> None:
    result = kernelyard("run", "--cwd", str(tmp_path / "no"), "-c", "1")
    assert result.status == 3
    assert "working directory" in result.err


def test_a_kernel_of_another_language(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "bash_kernel.install", "--prefix", str(tmp_path / "prefix")],
        check=True,
        capture_output=True,
    )
    env = {"JUPYTER_PATH": str(tmp_path / "prefix" / "share" / "jupyter")}
    result = kernelyard("run", "-k", "bash", "-c", "for i in 1 2; do echo line $i; done", env=env)
    assert (result.status, result.out) == (0, "line 1\nline 2\n")
    failed = kernelyard("run", "-k", "bash", "-c", "false", env=env)
    assert (failed.status, failed.err) == (1, "error: 1\n")
