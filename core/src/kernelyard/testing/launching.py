"""What the contract says about launching a kernel."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import pytest

from kernelyard._plugins import Relay
from kernelyard.errors import CommandNotFoundError, LaunchError, PortConflictError
from kernelyard.testing.place import Launch, Leftovers, MakeRequest, Place, Program, TalkTo, files_in
from kernelyard.testing.sentences import covers
from kernelyard.types import CHANNELS, ConnectionInfo, ExitReason, KernelHandle

__all__ = ["LaunchContract"]


class LaunchContract(Place):
    """Tests of `kernelyard_launch`."""

    pytestmark = pytest.mark.anyio

    @covers("launch", "On return the kernel's process", "It does not wait until the kernel answers")
    async def test_kernel_runs_when_launch_returns_though_it_never_answers(
        self, relay: Relay, launch: Launch, idle: list[str]
    ) -> None:
        """A launch returns as soon as the kernel runs."""
        assert await relay.poll(await launch(idle)) is None

    @covers("launch")
    @covers("launch", "On return the kernel's process")
    async def test_connection_in_the_handle_is_true(
        self, launch: Launch, ipykernel: list[str], talk_to: TalkTo
    ) -> None:
        """A real kernel answers where the handle says."""
        handle = await launch(ipykernel)
        assert handle.connection.is_complete
        async with talk_to(handle) as talk:
            assert (await talk.run("print(6 * 7)")).strip() == "42"

    @covers("launch", "On return the kernel's process")
    async def test_kernel_can_read_its_connection_file(
        self, relay: Relay, launch: Launch, python: list[str], start_timeout: float
    ) -> None:
        """What the kernel reads there is what the handle says, in all that clients need."""
        code = (
            "import json, sys, hashlib; f = json.load(open(sys.argv[1]));"
            "f['key'] = hashlib.sha256(f['key'].encode()).hexdigest(); print(json.dumps(f))"
        )
        handle = await launch([*python, "-c", code, "{connection_file}"])
        seen = json.loads(await self.printed_by(relay, handle, start_timeout))
        assert {c: seen[f"{c}_port"] for c in CHANNELS} == handle.connection.ports
        assert seen["key"] == _sha256(handle.connection.key)
        assert seen["signature_scheme"] == handle.connection.signature_scheme

    @covers("launch", "The handle goes through JSON and back unchanged")
    async def test_handle_goes_through_json_and_back(
        self, relay: Relay, launch: Launch, idle: list[str]
    ) -> None:
        """And the copy is as good as the original."""
        handle = await launch(idle)
        copy = KernelHandle.from_json(handle.to_json())
        assert copy == handle
        assert await relay.poll(copy) is None

    @covers("launch", "Ports that the request names are used")
    async def test_named_ports_are_used(self, launch: Launch, ipykernel: list[str], talk_to: TalkTo) -> None:
        """A kernel listens where it was told to."""
        ports = dict(zip(CHANNELS, _free_ports(), strict=True))
        connection = ConnectionInfo(key="a key for the contract").with_ports(ports)
        handle = await launch(ipykernel, connection=connection)
        assert handle.connection.ports == ports
        async with talk_to(handle) as talk:
            assert (await talk.run("print('here')")).strip() == "here"

    @covers("launch", "Ports that the request names are used", "LaunchError: the kernel could not")
    async def test_taken_port_is_refused(
        self, relay: Relay, make_request: MakeRequest, idle: list[str], shares_ports_with_this_machine: bool
    ) -> None:
        """It is not replaced by another."""
        if not shares_ports_with_this_machine:
            pytest.skip("ports of this machine are not the kernel's")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            connection = ConnectionInfo(shell_port=taken.getsockname()[1])
            with pytest.raises(PortConflictError, match=str(connection.shell_port)):
                await relay.launch(make_request(idle, connection=connection))

    @covers("launch", "Neither the key nor any other secret")
    async def test_key_is_not_in_the_command_line_or_the_environment(
        self, relay: Relay, launch: Launch, python: list[str], start_timeout: float
    ) -> None:
        """Both can be read by others."""
        code = "import os, sys; print(sys.argv, dict(os.environ))"
        handle = await launch([*python, "-c", code, "{connection_file}"])
        assert handle.connection.key not in await self.printed_by(relay, handle, start_timeout)

    @covers("launch")
    async def test_command_arrives_unchanged(
        self, relay: Relay, launch: Launch, python: list[str], start_timeout: float
    ) -> None:
        """No shell comes between."""
        odd = [
            "",
            "two words",
            "'quo\"tes'",
            "$HOME `id` %PATH%",
            "*",
            "ünï",
            "--",
            "{resource_dir}",
            "back\\slash",
        ]
        handle = await launch([*python, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *odd])
        assert json.loads(await self.printed_by(relay, handle, start_timeout)) == odd

    @covers("launch")
    async def test_environment_arrives(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float
    ) -> None:
        """The variables of the request are the kernel's."""
        code = "import os; print(os.environ['CONTRACT'])"
        handle = await launch(program(code), env={"CONTRACT": "one = two $THREE"})
        assert await self.printed_by(relay, handle, start_timeout) == "one = two $THREE"

    @covers("launch", "LaunchError: the kernel could not", "If it raises, or is cancelled")
    async def test_unknown_command_is_named_and_leaves_nothing(
        self, relay: Relay, make_request: MakeRequest, contract_dir: Path, start_timeout: float
    ) -> None:
        """The error has the command, what to do, and the kernel."""
        request = make_request(["no-such-command-anywhere"])
        with anyio.fail_after(start_timeout), pytest.raises(LaunchError) as caught:
            await relay.launch(request)
        assert isinstance(caught.value, CommandNotFoundError)
        assert caught.value.filename == "no-such-command-anywhere"
        assert "no-such-command-anywhere" in str(caught.value)
        assert caught.value.hint
        assert caught.value.kernel_id == request.kernel_id
        assert files_in(contract_dir) == []

    @covers("launch", "If it raises, or is cancelled")
    @pytest.mark.parametrize("steps", [0, 1, 2, 5, 20])
    async def test_cancelled_launch_leaves_nothing(
        self, relay: Relay, make_request: MakeRequest, idle: list[str], contract_dir: Path, steps: int
    ) -> None:
        """Wherever the cancellation finds it; one that was complete already is a kernel like any other."""
        task = asyncio.create_task(relay.launch(make_request(idle)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            handle = await task
            await relay.kill(handle)
            await relay.cleanup(handle)
        assert files_in(contract_dir) == []

    @covers("launch", "Runs once per start")
    async def test_restart_launches_in_the_place_of_the_old_kernel(
        self, relay: Relay, launch: Launch, ipykernel: list[str], talk_to: TalkTo, start_timeout: float
    ) -> None:
        """On the same ports, under the same id."""
        old = await launch(ipykernel)
        async with talk_to(old) as talk:
            await talk.run("survivor = True")
        with anyio.fail_after(start_timeout):
            await relay.kill(old, restart=True)
            await relay.cleanup(old, restart=True)
        new = await launch(
            ipykernel,
            kernel_id=old.kernel_id,
            connection=old.connection,
            connection_file=old.connection_file,
            previous=old,
        )
        assert new.connection == old.connection
        assert new.ref != old.ref
        assert await relay.poll(new) is None
        async with talk_to(new) as talk:
            assert (await talk.run("print('survivor' in globals())")).strip() == "False"

    @covers("launch")
    async def test_many_kernels_at_once(
        self, relay: Relay, launch: Launch, idle: list[str], leftovers: Leftovers, start_timeout: float
    ) -> None:
        """Ten kernels share one provisioner; each is its own."""
        handles = await asyncio.gather(*(launch(idle) for _ in range(10)))
        assert len({handle.to_json() for handle in handles}) == 10
        assert await asyncio.gather(*(relay.poll(handle) for handle in handles)) == [None] * 10
        first, *others = handles
        with anyio.fail_after(start_timeout):
            await relay.kill(first)
            assert await relay.poll(first) is not None
            assert await asyncio.gather(*(relay.poll(handle) for handle in others)) == [None] * 9
            await asyncio.gather(*(relay.kill(handle) for handle in others))
            await asyncio.gather(*(relay.cleanup(handle) for handle in handles))
        for handle in handles:
            assert await leftovers(handle) == []

    @covers("launch", "It does not wait until the kernel answers")
    async def test_kernel_that_fails_at_once_is_launched_and_tells_why_it_ended(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float
    ) -> None:
        """A failure of the kernel is not one of the launch; its last lines say what it was."""
        handle = await launch(program("import sys; print('reading'); sys.exit('no licence was found')"))
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
        assert (status.reason, status.exit_code) == (ExitReason.EXIT_CODE, 1)
        assert {"reading", "no licence was found"} <= set(status.output)

    async def printed_by(self, relay: Relay, handle: KernelHandle, start_timeout: float) -> str:
        """Return what a kernel printed that ends by itself, without an error."""
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
        assert status.exit_code == 0, status
        return "\n".join(status.output)


def _free_ports() -> list[int]:
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in CHANNELS]
        return [server.getsockname()[1] for server in servers]


def _sha256(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
