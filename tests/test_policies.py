"""The pure parts of a kernel's life: the shutdown ladder, the restart policy, the reading of an end."""

from __future__ import annotations

import pytest
from kernelyard import ExitReason, ExitStatus, Phase
from kernelyard._shutdown import Action, descend, ladder
from kernelyard._supervise import FIRST_BACKOFF, LONGEST_BACKOFF, Supervisor, placed
from kernelyard.config import Layer, parse_bytes, parse_resources
from kernelyard.errors import InvalidConfigError
from kernelyard.types import Resources


def test_the_ladder_has_four_rungs_and_now_has_one():
    assert [(step.action, step.wait) for step in ladder(5.0, now=False)] == [
        (Action.INTERRUPT, 0),
        (Action.REQUEST, 2.5),
        (Action.TERMINATE, 2.5),
        (Action.KILL, 0),
    ]
    assert [step.action for step in ladder(5.0, now=True)] == [Action.KILL]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("ends_after", "taken"),
    [
        (None, []),
        (Action.INTERRUPT, [Action.INTERRUPT]),
        (Action.REQUEST, [Action.INTERRUPT, Action.REQUEST]),
        (Action.TERMINATE, [Action.INTERRUPT, Action.REQUEST, Action.TERMINATE]),
        (Action.KILL, list(Action)),
    ],
)
async def test_the_descent_ends_with_the_kernel(ends_after, taken):
    done, waited = [], []

    async def act(action):
        done.append(action)

    async def has_ended(seconds):
        waited.append(seconds)
        return ends_after is None or ends_after in done

    last = await descend(ladder(4.0, now=False), act, has_ended)
    assert done == taken
    assert last == (taken[-1] if taken else None)
    assert sum(waited) == {0: 0, 1: 0, 2: 2, 3: 4, 4: 4}[len(taken)]


def test_restarts_in_a_row_wait_longer_and_end():
    supervisor, died = Supervisor(limit=4, stable_time=10), ExitStatus(reason=ExitReason.SIGNAL, signal=9)
    decisions = [supervisor.decide(died, lived=1.0) for _ in range(5)]
    assert [decision.restart for decision in decisions] == [True, True, True, True, False]
    assert [decision.delay for decision in decisions[:4]] == [
        0,
        FIRST_BACKOFF,
        2 * FIRST_BACKOFF,
        4 * FIRST_BACKOFF,
    ]
    assert "4 restarts in a row" in decisions[-1].why


def test_a_stable_life_begins_the_counting_anew_and_no_wait_is_endless():
    supervisor, died = Supervisor(limit=40, stable_time=10), ExitStatus(reason=ExitReason.SIGNAL, signal=9)
    delays = [supervisor.decide(died, lived=0.0).delay for _ in range(20)]
    assert max(delays) == LONGEST_BACKOFF
    assert supervisor.decide(died, lived=10.0).delay == 0


def test_a_lost_port_is_answered_with_new_ones():
    decision = Supervisor(limit=1, stable_time=10).decide(
        ExitStatus(reason=ExitReason.PORT_CONFLICT), lived=0
    )
    assert decision.new_ports


EXITED = ExitStatus(reason=ExitReason.EXIT_CODE, exit_code=1)
KILLED = ExitStatus(reason=ExitReason.SIGNAL, signal=9)
CONFLICT = ExitStatus(reason=ExitReason.EXIT_CODE, exit_code=1, output=("zmq: Address already in use",))


@pytest.mark.parametrize(
    ("status", "asked_to_end", "answered", "stable", "phase", "reason"),
    [
        (EXITED, True, False, False, Phase.STOPPING, ExitReason.EXIT_CODE),
        (EXITED, False, False, False, Phase.STARTING, ExitReason.STARTUP),
        (EXITED, False, True, False, Phase.RUNNING, ExitReason.EXIT_CODE),
        (EXITED, False, False, True, Phase.RUNNING, ExitReason.EXIT_CODE),
        (KILLED, False, False, False, Phase.STARTING, ExitReason.SIGNAL),
        (CONFLICT, False, False, True, Phase.STARTING, ExitReason.PORT_CONFLICT),
        (CONFLICT, False, True, False, Phase.RUNNING, ExitReason.EXIT_CODE),
    ],
)
def test_an_end_is_placed(status, asked_to_end, answered, stable, phase, reason):
    result = placed(status, asked_to_end=asked_to_end, answered=answered, stable=stable)
    assert (result.phase, result.reason) == (phase, reason)
    assert result.output == status.output


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1073741824", 2**30),
        (2**30, 2**30),
        ("512m", 2**29),
        ("2g", 2**31),
        ("1.5GiB", 3 * 2**29),
        ("1 KB", 1024),
    ],
)
def test_amounts_of_memory(text, amount):
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "lots", "-1", "0", 0, -5, True, None, 1.5, "1e9", "9" * 30, "²g"])
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(ValueError, match="amount of memory"):
        parse_bytes(text)


def test_resources_are_merged_and_none_takes_a_limit_back():
    layers = [
        Layer("kernel.json", {"memory": "1g", "cpus": "0.5", "pids": 100}),
        Layer("the caller", {"memory": "2g", "pids": None, "network": "none"}),
    ]
    assert parse_resources(layers) == Resources(memory=2**31, cpus=0.5, network="none")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cpus", 0),
        ("cpus", "nan"),
        ("pids", 0),
        ("pids", 1.5),
        ("gpus", -1),
        ("network", "host"),
        ("cpus", True),
    ],
)
def test_what_a_resource_cannot_be(key, value):
    with pytest.raises(InvalidConfigError, match=key):
        parse_resources([Layer("kernel.json", {key: value})])
