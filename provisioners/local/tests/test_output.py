"""What is read from a log, and what it is taken to mean: pure functions."""

import pytest
from kernelyard.types import ExitReason
from kernelyard_local._output import TAIL_LIMIT, exit_status, last_lines, read_tail


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize(
    ("tail", "cut", "count", "lines"),
    [
        (b"", False, 5, ()),
        (b"one\ntwo\n", False, 5, ("one", "two")),
        (b"one\ntwo", False, 5, ("one", "two")),
        (b"one\n\n", False, 5, ("one", "")),
        (b"one\r\ntwo\r\n", False, 5, ("one", "two")),
        (b"1\n2\n3\n", False, 2, ("2", "3")),
        (b"1\n2\n", False, 0, ()),
        (b"rt of a line\nwhole\n", True, 5, ("whole",)),
        (b"one line without an end", True, 5, ("one line without an end",)),
        (b"form\x0cfeed \xe2\x80\xa8 separator\n", False, 5, ("form\x0cfeed \u2028 separator",)),
        (b"not \xff utf-8\n", False, 5, ("not \ufffd utf-8",)),
    ],
)
def test_last_lines_are_whole_lines_without_ends(tail, cut, count, lines):
    assert last_lines(tail, cut=cut, count=count) == lines


def test_long_log_is_read_from_its_end_only(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * 10 * TAIL_LIMIT + b"\nlast\n")
    tail, cut = read_tail(log, 0)
    assert (len(tail), cut) == (TAIL_LIMIT, True)
    assert last_lines(tail, cut=cut, count=9) == ("last",)


def test_log_is_read_from_the_kernels_part_on(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"of another\nmine\n")
    assert read_tail(log, 11) == (b"mine\n", False)
    assert read_tail(log, 999) == (b"of another\nmine\n", False)  # it was cut off meanwhile
    assert read_tail(tmp_path / "none", 0) == (b"", False)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "/opt/py/bin/python: No module named ipykernel_launcher",
            "/opt/py/bin/python -m pip install ipykernel",
        ),
        ("ModuleNotFoundError: No module named 'xeus_cpp.kernel'", "python -m pip install xeus_cpp"),
    ],
)
def test_missing_module_has_the_remedy(line, hint):
    status = exit_status(1, ("Traceback (most recent call last):", line))
    assert status.reason == ExitReason.EXIT_CODE
    assert status.hint.endswith(hint)


@pytest.mark.parametrize(
    ("returncode", "oom_killed", "reason"),
    [
        (0, 0, ExitReason.CLEAN),
        (0, 1, ExitReason.CLEAN),
        (7, 1, ExitReason.EXIT_CODE),
        (-9, 0, ExitReason.SIGNAL),
        (-9, 1, ExitReason.OOM),
        (-15, 1, ExitReason.SIGNAL),
        (None, 1, ExitReason.LOST),
    ],
)
def test_reason_follows_from_the_return_code(returncode, oom_killed, reason):
    status = exit_status(returncode, (), oom_killed=oom_killed)
    assert status.reason == reason
    assert (status.exit_code, status.signal) == (
        None if returncode is None or returncode < 0 else returncode,
        None if returncode is None or returncode >= 0 else -returncode,
    )


def test_address_in_use_is_the_reason_only_where_it_was_said_last():
    said = "zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:4711')"
    assert exit_status(1, ("Traceback", said)).reason == ExitReason.PORT_CONFLICT
    assert exit_status(1, (said, *["other"] * 50)).reason == ExitReason.EXIT_CODE
    assert exit_status(0, (said,)).reason == ExitReason.CLEAN
