"""What the contract says about the hooks that a provisioner may offer: attach, discover, logs, check, plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from kernelyard._plugins import Relay
from kernelyard.errors import UnknownHandleError
from kernelyard.testing.place import Launch, MakeRequest, Place, Program, files_in
from kernelyard.testing.sentences import covers
from kernelyard.types import Resources

__all__ = ["OfferContract"]


class OfferContract(Place):
    """Tests of the optional hooks; those of a hook that is not offered are skipped."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def offered(self, relay: Relay, request: pytest.FixtureRequest) -> None:
        """Skip a test of a hook, which its name begins with, that is not offered."""
        hook = request.function.__name__.split("_")[1]
        if not relay.offers(hook):
            pytest.skip(f"there is no hook {hook}")

    @covers("attach", "UnknownHandleError")
    @pytest.mark.usefixtures("offered")
    async def test_attach_to_a_kernel_that_is_gone_is_an_error(
        self, relay: Relay, launch: Launch, idle: list[str], start_timeout: float
    ) -> None:
        """There is nothing to attach to."""
        handle = await launch(idle)
        with anyio.fail_after(start_timeout):
            await relay.kill(handle)
            await relay.cleanup(handle)
            with pytest.raises(UnknownHandleError):
                await relay.attach(handle)

    @covers("discover")
    @pytest.mark.usefixtures("offered")
    async def test_discover_finds_kernels(
        self, launch: Launch, idle: list[str], provisioner: Any, start_timeout: float
    ) -> None:
        """By marks of its own: the handle that it returns is the one that launch returned."""
        handle = await launch(idle)
        with anyio.fail_after(start_timeout):
            assert handle in await provisioner.kernelyard_discover()

    @covers("logs")
    @pytest.mark.usefixtures("offered")
    async def test_logs_are_the_last_lines_also_after_the_end(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float
    ) -> None:
        """As many as were asked for, oldest first, without line ends."""
        handle = await launch(program("for i in range(500): print('line', i)"))
        with anyio.fail_after(start_timeout):
            await relay.wait(handle)
            assert await relay.logs(handle, 3) == ["line 497", "line 498", "line 499"]
            assert await relay.logs(handle, 0) == []
            assert len(await relay.logs(handle, 10_000)) == 500

    @covers("check", "Say whether the place can be used", "Returns a mapping with `ok`", "It does not raise")
    @pytest.mark.usefixtures("offered")
    async def test_check_says_whether_the_place_can_be_used(self, relay: Relay, start_timeout: float) -> None:
        """It can, since these tests run; what is said about it is text."""
        with anyio.fail_after(start_timeout):
            said = await relay.check()
        assert said["ok"] is True
        assert all(isinstance(said.get(key, ""), str) for key in ("version", "detail", "hint"))
        json.dumps(said)

    @covers("plan", "Describe the launch", "Returns what the place would be given", "Secrets are left out")
    @pytest.mark.usefixtures("offered")
    async def test_plan_describes_the_launch_and_does_nothing(
        self,
        relay: Relay,
        make_request: MakeRequest,
        idle: list[str],
        contract_dir: Path,
        start_timeout: float,
    ) -> None:
        """It holds no secret, and JSON can hold it."""
        request = make_request(idle, env={"API_TOKEN": "very secret indeed"})
        with anyio.fail_after(start_timeout):
            text = json.dumps(await relay.plan(request))
        assert idle[-1] in text
        assert request.connection.key not in text
        assert "very secret indeed" not in text
        assert files_in(contract_dir) == []

    @covers("plan", "The key `not_enforced`")
    @pytest.mark.usefixtures("offered")
    async def test_plan_says_which_resources_the_place_cannot_enforce(
        self, relay: Relay, make_request: MakeRequest, idle: list[str], start_timeout: float
    ) -> None:
        """By their names; none of them when none was asked for."""
        wanted: Mapping[str, Any] = {
            "cpus": 1.0,
            "memory": 2**31,
            "soft_memory": 2**30,
            "pids": 512,
            "gpus": 1,
        }
        with anyio.fail_after(start_timeout):
            plan = await relay.plan(make_request(idle, resources=Resources(**wanted)))
            modest = await relay.plan(make_request(idle))
        not_enforced = plan.get("not_enforced", [])
        assert isinstance(not_enforced, list)
        assert set(not_enforced) <= set(wanted)
        assert not modest.get("not_enforced")
