"""The state machine of one kernel, from launch to cleanup, on an event loop.

Every operation (start, restart, shutdown) is a task of its own, and there is at most one. What may happen when:

==============  ==========  ==========  ==========  ==============  =======================
state           start       restart     interrupt   shutdown, kill  the kernel ends
==============  ==========  ==========  ==========  ==============  =======================
NEW             STARTING    refused     refused     nothing         -
STARTING        busy        busy        busy        cancels it      told once RUNNING
RUNNING         refused     RESTARTING  done        STOPPING        RESTARTING or DEAD
RESTARTING      busy        busy        busy        cancels it      as expected
STOPPING        busy        busy        busy        joins it        as expected
DEAD            STARTING    RESTARTING  refused     nothing         -
==============  ==========  ==========  ==========  ==============  =======================

The end of the kernel is noticed by one task that awaits the provisioner; all others await that task's future.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any

from kernelyard._clients import Clients
from kernelyard._owner import Owner
from kernelyard._shutdown import Action, Step, descend, ladder
from kernelyard._supervise import placed
from kernelyard._tasks import finish, to_its_end
from kernelyard._watch import Watch
from kernelyard.connection import tells_of_port_conflict
from kernelyard.errors import (
    KernelBusyError,
    KernelNotRunningError,
    KernelStateError,
    KernelyardError,
    LaunchCancelledError,
    PortConflictError,
    Whose,
)
from kernelyard.types import ConnectionInfo, ExitReason, ExitStatus, KernelHandle, LaunchRequest, Phase

if TYPE_CHECKING:
    from kernelyard._plugins import Relay
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["Lifecycle", "State"]

#: Launches, beside the first, for a kernel that loses its ports before it has bound to them.
PORT_TRIES = 3

#: Seconds to wait for word of the end of a kernel that its provisioner has killed.
KILL_GRACE = 5.0


class State(str, Enum):
    """Where a kernel stands."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    DEAD = "dead"


class Lifecycle:
    """One kernel's life. All methods run on one event loop.

    Attributes:
        state: where it stands.
        relay: the plugins in charge, once it was started.
        request: what the last start asked for; its ports are those that the caller configured.
        handle: the kernel, while there is one.
        exit_status: how the last one ended.
    """

    def __init__(self, owner: Owner) -> None:
        self.state = State.NEW
        self.relay: Relay | None = None
        self.request: LaunchRequest | None = None
        self.handle: KernelHandle | None = None
        self.exit_status: ExitStatus | None = None
        self._owner = owner
        #: What a shutdown with `restart=True` left for the start that is to follow.
        self._kept: KernelHandle | None = None
        self._operation: asyncio.Task[None] | None = None
        self._superseded = False
        self._watch: Watch | None = None
        self._clients = Clients(owner.control_client)
        self._answered = False
        #: Launches in a row that a port was lost for.
        self._conflicts = 0

    #: Whether somebody else started the kernel.
    is_foreign = False

    @property
    def has_exited(self) -> bool:
        """Whether the last kernel that was launched is known to have ended."""
        return self._watch is not None and self._watch.has_ended

    @property
    def is_settled(self) -> bool:
        """Whether there is no kernel, and nothing is under way that follows from the end of the last one."""
        return self.state in (State.NEW, State.DEAD) and (self._watch is None or self._watch.is_over)

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a kernel, nor one on its way, nor a client with open channels."""
        return self.state in (State.NEW, State.DEAD) and not self._clients

    # Operations -------------------------------------------------------------------------------------------

    def check_startable(self) -> None:
        """Raise the typed error if a start is not possible now."""
        self._refuse_if_busy("start")
        if self.state is State.RUNNING:
            raise KernelStateError(
                "Cannot start the kernel: it runs already.",
                hint="Use restart_kernel(), or another manager for a second kernel.",
                **self.who(),
            )
        if self.handle is not None:
            raise KernelStateError(
                "Cannot start the kernel: what is left of the last one could not be removed.",
                hint="Try shutdown_kernel() again, and see the error that it raises.",
                **self.who(),
            )

    async def start(self, prepare: Callable[[], Awaitable[tuple[Relay, LaunchRequest]]]) -> None:
        """Launch a kernel. If it fails or is cancelled, nothing is left of it.

        Args:
            prepare: says what to launch, and with whom.
        """
        self.check_startable()
        await self._run(State.STARTING, self._start(prepare))

    def check_restartable(self) -> None:
        """Raise the typed error if a restart is not possible now."""
        after_death = self._watch is not None and self._watch.has_ended and not self._watch.is_over
        if not (self.state is State.STOPPING and after_death):
            self._refuse_if_busy("restart")
        if self.request is None:
            raise KernelNotRunningError(
                "Cannot restart the kernel: it was never started.",
                hint="Call start_kernel() first.",
                **self.who(),
            )

    async def restart(
        self,
        relay: Relay | None = None,
        request: LaunchRequest | None = None,
        *,
        now: bool,
        new_ports: bool,
    ) -> None:
        """End the kernel, if it runs, and launch another in its place.

        A caller that is cancelled leaves no kernel: it has been asked to end by then.

        Args:
            relay: the plugins in charge of the new one; None = the same.
            request: what to launch; None = the same again.
            now: whether to kill the old one at once.
            new_ports: whether to choose those ports anew that the caller did not configure.
        """
        self._come_along()
        self.check_restartable()
        await self._wait_for_burial()
        self._refuse_if_busy("restart")
        relay, request = relay or self.relay, request or self.request
        if relay is None or request is None:
            raise AssertionError("a kernel that was started has both")
        await self._run(State.RESTARTING, self._restart(relay, request, now=now, new_ports=new_ports))

    async def shutdown(self, *, now: bool, restart: bool = False) -> None:
        """End the kernel and remove what is left of it. It beats a start or a restart that is under way.

        Cancelling it does not leave the kernel half stopped: it is killed then.

        Args:
            now: whether to kill it at once, without asking first.
            restart: whether the caller will launch another in its place.
        """
        self._come_along()
        while self._operation is not None and self.state is not State.STOPPING:
            if not self._superseded:
                self._superseded = True
                self._operation.cancel()
            await asyncio.wait([self._operation])
        while self._operation is not None:
            if now and self.relay is not None and self.handle is not None:
                await self.relay.kill(self.handle, restart=restart)
            await asyncio.wait([self._operation])
        if self.handle is not None:
            await self._run(State.STOPPING, self._stop(now=now, restart=restart))
        else:
            await self._drop_kept(restart=restart)

    async def interrupt(self) -> None:
        """Interrupt what the kernel runs, in the way that its kernelspec declares."""
        self._require_running("interrupt")
        await self._interrupt()

    async def signal(self, signum: int) -> None:
        """Deliver a signal to the kernel and its children."""
        relay, handle = self._require_running("signal")
        await relay.signal(handle, signum)

    async def is_alive(self) -> bool:
        """Return whether the kernel runs, as its provisioner sees it now."""
        if self.relay is None or self.handle is None:
            return False
        return await self.relay.poll(self.handle) is None

    # The stages of a shutdown one by one, as jupyter_client's API has them -----------------------------------

    async def request_shutdown(self, *, restart: bool) -> None:
        """Ask the kernel to end. From now on its end is no accident."""
        self._require_running("shut down")
        self.state = State.STOPPING
        await self._act(Action.REQUEST, restart=restart)

    async def finish_shutdown(self, wait_time: float, *, restart: bool) -> None:
        """Wait for the end of a kernel that was asked to end, then end it by force."""
        self._come_along()
        if self.handle is not None and self._operation is None:
            self.state = State.STOPPING
            await self._run(State.STOPPING, self._finish_shutdown(wait_time, restart=restart))

    async def _finish_shutdown(self, wait_time: float, *, restart: bool) -> None:
        if not await self._has_ended(wait_time / 2):
            await self._descend(ladder(wait_time, now=False)[2:], restart=restart)

    async def cleanup(self, *, restart: bool) -> None:
        """Remove what is left of a kernel that has ended; does nothing to one that runs."""
        if self._operation is None and self.handle is None:
            await self._drop_kept(restart=restart)
        elif self._operation is None and self.has_exited:
            await self._run(State.STOPPING, self._bury(restart=restart))

    # What clients ask: kernelyard.wire.link.KernelLink -------------------------------------------------------

    async def wait_exit(self) -> ExitStatus:
        """Return how the kernel that runs now ends, when it does; at once if none runs or is being started."""
        self._come_along()
        if self.has_exited and self._operation is None and self.exit_status is not None:
            return self.exit_status
        if self._watch is not None and self._watch.loop is not asyncio.get_running_loop():
            elsewhere = asyncio.run_coroutine_threadsafe(self.wait_exit(), self._watch.loop)
            return await asyncio.wrap_future(elsewhere)
        while True:
            while self._watch is None or self._watch.has_ended:
                if self._operation is None or self.state is State.STOPPING:
                    break
                await asyncio.wait([self._operation])
            if self._watch is None:
                break
            watch = self._watch
            status = await watch.status()
            if status is not None:
                return status
            if self._watch is watch:
                break
        return self.exit_status or ExitStatus(reason=ExitReason.LOST, hint="The kernel was never started.")

    async def logs(self, tail: int) -> list[str]:
        """Return the last lines that the running kernel printed, oldest first."""
        if self.relay is None or self.handle is None:
            return []
        return await self.relay.logs(self.handle, tail)

    async def waited_in_vain(self) -> None:
        """Be told that a client still waits for the first answer: end a kernel that hangs without its ports.

        ipykernel does when it cannot bind to one of them but has bound to another. Its end is then dealt with as that
        of any kernel that lost a port.
        """
        relay, handle = self.relay, self.handle
        if relay is None or handle is None or self._answered or self.state is not State.RUNNING:
            return
        if tells_of_port_conflict(await relay.logs(handle, 10)):
            await relay.kill(handle)

    def answered(self) -> None:
        """Be told that the kernel has answered a client."""
        self._answered = True
        self._conflicts = 0

    def current(self) -> ConnectionInfo | None:
        """Return where the kernel is now, or None if there is none."""
        return None if self.handle is None else self.handle.connection

    def register(self, client: AsyncKernelClient) -> None:
        """Remember a client, to tell it where the kernel is after a restart."""
        self._clients.add(client)

    def unregister(self, client: AsyncKernelClient) -> None:
        """Forget a client that has stopped its channels."""
        self._clients.discard(client)
        self._tell_if_idle()

    # Inside --------------------------------------------------------------------------------------------------

    async def _run(self, state: State, body: Coroutine[Any, Any, None]) -> None:
        """Run an operation as the one task that may change the kernel, and wait for it.

        Raises:
            LaunchCancelledError: a shutdown came first.
            asyncio.CancelledError: the caller was cancelled; so was the operation, and it has cleaned up.
        """
        before, self.state = self.state, state
        self._owner.begin()
        task = asyncio.get_running_loop().create_task(body, name=f"kernelyard {state.value}")
        self._operation, self._superseded = task, False
        error: BaseException | None = None
        try:
            await finish(task)
            error = None if task.cancelled() else task.exception()
            if task.cancelled():
                error = LaunchCancelledError(
                    f"The kernel was shut down while it was {state.value}.", **self.who()
                )
            if error is not None:
                raise error
        except asyncio.CancelledError as cancelled:
            error = cancelled
            if self.state is State.RUNNING:
                # It was complete when the caller was cancelled: undo it all the same.
                self.state = State.STOPPING
                await to_its_end(self._stop(now=True, restart=False))
            raise
        finally:
            self._operation = None
            if (
                self.state is state
            ):  # the body was cancelled before it began, or failed before it changed anything
                self.state = State.DEAD if self.has_exited and before is not State.NEW else before
            self._owner.end(error)

    async def _start(self, prepare: Callable[[], Awaitable[tuple[Relay, LaunchRequest]]]) -> None:
        relay, request = await prepare()
        if self._kept is not None and self.relay is not None and self.relay.name != relay.name:
            await self._drop_kept(restart=False)
        self.relay, self.request, self._conflicts = relay, request, 0
        if self._kept is None:
            self.exit_status = None
        try:
            await self._launch(relay, dataclasses.replace(request, previous=self._kept))
        except BaseException as error:
            self.state = State.DEAD
            self.exit_status = getattr(error, "exit_status", None)
            await self._drop_kept(restart=False)
            raise
        self._kept = None

    async def _restart(self, relay: Relay, request: LaunchRequest, *, now: bool, new_ports: bool) -> None:
        if (supervisor := self._owner.supervisor()) is not None:
            supervisor.restarts = 0  # a person has looked after it
        if self.handle is not None:
            try:
                await self._descend(ladder(self._owner.shutdown_wait_time, now=now), restart=True)
                if self.relay is not None and relay.name != self.relay.name:
                    await self._bury(restart=False)  # another place has no use for what this one keeps
            except asyncio.CancelledError:
                if not self._superseded:
                    await to_its_end(self._stop(now=True, restart=False))
                raise
        self.relay, self._conflicts, self.state = relay, 0, State.RESTARTING
        await self._relaunch(request, new_ports=new_ports)

    async def _relaunch(self, request: LaunchRequest, *, delay: float = 0.0, new_ports: bool = False) -> None:
        """Launch a kernel in the place of one that has ended; if that fails, nothing is left of either."""
        if self.relay is None:
            raise AssertionError("a kernel that was never started has no relay")
        relay, previous = self.relay, self.handle
        self.request = request
        self._clients.renew()
        try:
            if delay > 0:
                await asyncio.sleep(delay)
            if previous is not None:
                await self._clean_up(relay, previous, restart=True)
                await relay.notify("cleanup", handle=previous, restart=True)
            again = dataclasses.replace(request, previous=previous)
            if previous is not None and not new_ports:
                kept = request.connection.with_ports(previous.connection.ports)
                try:
                    await self._launch(relay, dataclasses.replace(again, connection=kept))
                except PortConflictError:
                    # Somebody took a port between the old kernel's end and now. Those that the caller configured
                    # stay as they are: then this second try fails too, and says which.
                    if all(request.connection.ports.values()):
                        raise
                else:
                    return
            await self._launch(relay, again)
        except BaseException:
            self.state = State.DEAD
            if previous is not None:
                await to_its_end(relay.cleanup(previous, restart=False))
            self.handle = None
            self._release(restart=False)
            raise

    async def _launch(self, relay: Relay, request: LaunchRequest) -> None:
        handle: KernelHandle | None = None
        try:
            request = await relay.prepare(request)
            handle = await relay.launch(request)
            self._owner.connected(handle.connection)
            await relay.notify("launch", handle=handle)
            if request.previous is not None:
                await relay.notify("restart", handle=handle, status=self.exit_status)
        except BaseException:
            if handle is not None:
                await to_its_end(self._undo(relay, handle))
            raise
        self.handle, self.state, self._answered = handle, State.RUNNING, False
        self._watch = Watch(
            relay,
            handle,
            place=self._placed,
            instead=self._retried_on_new_ports,
            tell=self._tell,
            after=self._after_end,
            log=self._owner.log,
        )
        self._clients.follow(handle.connection)

    async def _undo(self, relay: Relay, handle: KernelHandle) -> None:
        """Take back a launch; what goes wrong with that is logged, since the error of the launch itself is raised."""
        for step in (relay.kill, relay.cleanup):
            try:
                await step(handle)
            except KernelyardError:
                self._owner.log.exception("kernel %s: %s failed", handle.kernel_id, step.__name__)

    def _come_along(self) -> None:
        """Go on on the loop that runs now, if the kernel was launched on another: a program may use several in turn."""
        if self._watch is not None and self._watch.come_along():
            self._clients.close_control()

    async def _tell(self, handle: KernelHandle, status: ExitStatus) -> None:
        """Tell the observers that the kernel has ended."""
        if self.relay is not None:
            await self.relay.notify("exit", handle=handle, status=status)

    async def _after_end(self, handle: KernelHandle, status: ExitStatus, lived: float) -> None:
        """Do what is to be done about a kernel that ended unasked."""
        if self.state is State.RUNNING and self.handle is handle:
            await self._died(status, lived)

    async def _retried_on_new_ports(self, handle: KernelHandle, status: ExitStatus) -> bool:
        """Launch the kernel again, on other ports, if it never came up for a port that somebody took.

        On Linux a reserved port can still be lost to a program that binds to that very number with SO_REUSEADDR, as
        the kernels of managers do that do not reserve; elsewhere nothing is reserved. The caller's start, and the
        clients that wait for the kernel, go on with the new one.
        """
        request = self.request
        if (
            status.reason is not ExitReason.PORT_CONFLICT
            or status.phase is not Phase.STARTING
            or self.state is not State.RUNNING
            or self.handle is not handle
            or request is None
            or all(request.connection.ports.values())
            or self._conflicts >= PORT_TRIES
        ):
            return False
        self._conflicts += 1
        self._owner.log.warning(
            "kernel %s lost a port to another program: new ones are tried", self._kernel_id
        )
        await self._tell(handle, status)
        try:
            await self._run(State.STARTING, self._relaunch(request, new_ports=True))
        except LaunchCancelledError:
            return False  # a shutdown came, and goes on from here
        except KernelyardError:
            self._owner.log.exception("kernel %s could not be started on new ports", self._kernel_id)
            await self._owner.call_back("dead")
            return False
        return True

    def _placed(self, handle: KernelHandle, status: ExitStatus, lived: float) -> ExitStatus:
        """Say in which phase a kernel ended: only the core knows whether it was asked to, or ever answered."""
        if self.handle is not handle:
            return status  # of one that was given up before: nothing here is about it any more
        status = placed(
            status,
            asked_to_end=self.state in (State.STOPPING, State.RESTARTING),
            answered=self._answered,
            stable=lived >= self._owner.stable_start_time,
        )
        self.exit_status = status
        return status

    async def _died(self, status: ExitStatus, lived: float) -> None:
        """Start a kernel again that ended unasked, or give it up."""
        while (supervisor := self._owner.supervisor()) is not None:
            decision = supervisor.decide(status, lived)
            self._owner.log.warning("kernel %s %s: %s", self._kernel_id, status.describe(), decision.why)
            if not decision.restart or self.request is None:
                break
            try:
                await self._run(
                    State.RESTARTING,
                    self._relaunch(self.request, delay=decision.delay, new_ports=decision.new_ports),
                )
            except LaunchCancelledError:
                return  # a shutdown came, and goes on from here
            except KernelyardError as error:
                self._owner.log.warning("kernel %s could not be restarted: %s", self._kernel_id, error)
                lived = 0.0
                status = error.exit_status or ExitStatus(
                    reason=ExitReason.STARTUP, phase=Phase.STARTING, events=(str(error),)
                )
                self.exit_status = status
                if self.state is not State.DEAD:
                    return
            else:
                await self._owner.call_back("restart")
                return
        try:
            if self.state is State.RUNNING:
                await self._run(State.STOPPING, self._bury(restart=False))
        except LaunchCancelledError:
            return
        finally:
            if self.state is State.DEAD:  # else somebody else's operation has it now
                await self._owner.call_back("dead")

    async def _stop(self, *, now: bool, restart: bool) -> None:
        try:
            await self._descend(ladder(self._owner.shutdown_wait_time, now=now), restart=restart)
        except asyncio.CancelledError:
            await to_its_end(self._act(Action.KILL, restart=restart))
            await to_its_end(self._bury(restart=restart))
            raise
        await to_its_end(self._bury(restart=restart))

    async def _bury(self, *, restart: bool) -> None:
        """Remove what is left of the kernel. If that fails, the handle stays, so that it can be tried again."""
        relay, handle = self.relay, self.handle
        if relay is None or handle is None:
            raise AssertionError("there is no kernel to clean up after")
        self._clients.close_control()
        try:
            await self._clean_up(relay, handle, restart=restart)
        finally:
            self.state = State.DEAD
        self._kept = handle if restart else None
        self.handle = None
        self._release(restart=restart)
        await relay.notify("cleanup", handle=handle, restart=restart)

    async def _clean_up(self, relay: Relay, handle: KernelHandle, *, restart: bool) -> None:
        """Remove what is left of a kernel, when its observers know of its end; one that may still run is killed."""
        if self._watch is not None:
            await self._watch.told()
        lost = self.exit_status is not None and self.exit_status.reason is ExitReason.LOST
        if lost or not self.has_exited:
            await relay.kill(handle, restart=restart)
        await relay.cleanup(handle, restart=restart)

    async def _drop_kept(self, *, restart: bool) -> None:
        """Remove what was kept for a start that does not follow after all."""
        kept = None if restart else self._kept
        if kept is not None and self.relay is not None:
            self._kept = None
            await self.relay.cleanup(kept)
        self._release(restart=restart)

    def _release(self, *, restart: bool) -> None:
        """Tell the owner that nothing of the kernel is left, unless another comes in its place."""
        if not restart:
            self._owner.released()
            self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self.is_idle:
            self._owner.idle()

    async def _wait_for_burial(self) -> None:
        """Let the cleaning up after a death come to its end: it is short, and nobody's operation to be busy with."""
        after_death = self._watch is not None and self._watch.has_ended and not self._watch.is_over
        if self._operation is not None and self.state is State.STOPPING and after_death:
            await asyncio.wait([self._operation])

    async def _descend(self, steps: tuple[Step, ...], *, restart: bool) -> None:
        await descend(steps, lambda action: self._act(action, restart=restart), self._has_ended)
        if not await self._has_ended(KILL_GRACE):
            self._owner.log.error("kernel %s: no word of its end after it was killed", self._kernel_id)

    async def _act(self, action: Action, *, restart: bool) -> None:
        """Take one rung of the ladder. What a gentle one meets with is logged: the next rung is the answer to it."""
        relay, handle = self.relay, self.handle
        if relay is None or handle is None:
            return
        if action is Action.KILL:
            await relay.kill(handle, restart=restart)
            return
        try:
            if action is Action.INTERRUPT:
                await self._interrupt()
            elif action is Action.REQUEST:
                self._clients.control().shutdown(restart=restart)
            else:
                await relay.signal(handle, signal.SIGTERM, restart=restart)
        except (KernelyardError, OSError):
            self._owner.log.warning("kernel %s: %s failed", self._kernel_id, action.value, exc_info=True)

    async def _interrupt(self) -> None:
        if self.relay is None or self.handle is None or self.request is None:
            return
        if self.request.interrupt_mode == "message":
            self._clients.control().interrupt()
        else:
            await self.relay.signal(self.handle, signal.SIGINT)

    async def _has_ended(self, seconds: float) -> bool:
        return self._watch is None or await self._watch.ends_within(seconds)

    @property
    def _kernel_id(self) -> str | None:
        return None if self.request is None else self.request.kernel_id

    def who(self) -> Whose:
        """Return the kernel's id and its provisioner's name, as the arguments of an error."""
        return {
            "kernel_id": self._kernel_id,
            "provisioner": None if self.relay is None else self.relay.name,
        }

    def _refuse_if_busy(self, doing: str) -> None:
        if self.state in (State.STARTING, State.RESTARTING, State.STOPPING):
            raise KernelBusyError(
                f"Cannot {doing} the kernel: it is {self.state.value}.",
                hint="Wait for its `ready` future, or shut it down: a shutdown always gets through.",
                **self.who(),
            )

    def _require_running(self, doing: str) -> tuple[Relay, KernelHandle]:
        self._come_along()
        self._refuse_if_busy(doing)
        if self.relay is None or self.handle is None:
            ended = "" if self.exit_status is None else f" It {self.exit_status.describe()}."
            raise KernelNotRunningError(
                f"Cannot {doing} the kernel: no kernel is running.{ended}", **self.who()
            )
        return self.relay, self.handle
