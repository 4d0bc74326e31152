"""Runs code on a kernel of its own, from the kernel's start to its end, whatever comes between."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from kernelyard.cli._answers import Answers
from kernelyard.cli._screen import Screen
from kernelyard.cli._signals import Signals
from kernelyard.cli._site import site_config
from kernelyard.cli._terminal import exit_code_of, say, tell
from kernelyard.errors import KernelyardError
from kernelyard.manager import AsyncKernelManager
from kernelyard.wire.client import AsyncKernelClient
from kernelyard.wire.message import Message
from kernelyard.wire.result import ErrorOutput, to_output

__all__ = ["Job", "Outcome", "Status", "run_job"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run, and where.

    Attributes:
        code: the code, in the kernel's language.
        kernel_name: the kernelspec.
        launch: keyword arguments of `AsyncKernelManager.start_kernel`.
        transport: how the kernel's channels are reached.
        may_ask: whether the code may ask for input, which is then read from standard input.
        startup_timeout: seconds that the kernel has to answer once it is launched.
        timeout: seconds that the code has; None = no limit.
    """

    code: str
    kernel_name: str
    launch: Mapping[str, Any] = field(default_factory=dict)
    transport: Literal["tcp", "ipc"] = "tcp"
    may_ask: bool = False
    startup_timeout: float = 60.0
    timeout: float | None = None


class Status(str, Enum):
    """How it all ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    OUTPUT_CLOSED = "output_closed"
    FAILED = "failed"


#: Exit statuses that are always the same; a shell has the last ones for commands that end with a signal.
_EXIT_CODES = {
    Status.OK: 0,
    Status.ERROR: 1,
    Status.TIMEOUT: 124,
    Status.INTERRUPTED: 128 + signal.SIGINT,
    Status.OUTPUT_CLOSED: 141,  # 128 + SIGPIPE, which not every platform has
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job.

    Attributes:
        status: how it ended.
        exit_code: the exit status of the command.
        execution_count: the kernel's number for the code, or None if it gave none.
        error: the exception in the code, or why the kernel could not be used; None if there is neither.
    """

    status: Status
    exit_code: int
    execution_count: int | None = None
    error: ErrorOutput | KernelyardError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        error: dict[str, Any] | None = None
        if isinstance(self.error, KernelyardError):
            ended = self.error.exit_status
            error = {
                "ename": type(self.error).__name__,
                "evalue": self.error.message,
                "hint": self.error.hint or ("" if ended is None else ended.hint),
                "kernel_exit": None if ended is None else ended.to_dict(),
            }
        elif self.error is not None:
            error = {"ename": self.error.ename, "evalue": self.error.evalue}
        return {
            "status": self.status.value,
            "exit_code": self.exit_code,
            "execution_count": self.execution_count,
            "error": error,
        }


async def run_job(job: Job, screen: Screen) -> Outcome:
    """Start a kernel, run the code, end the kernel, and return what came of it.

    Ctrl-C interrupts the kernel; a second one, and one while there is no code to interrupt, ends it. So do SIGTERM
    and SIGHUP. Nothing of the kernel is left in any case.

    Args:
        job: what to run.
        screen: where its outputs go.
    """
    manager = AsyncKernelManager(config=site_config(), kernel_name=job.kernel_name, transport=job.transport)
    with Signals() as signals:
        run = _Run(manager, job, screen)
        hurry = False
        try:
            work = asyncio.ensure_future(run.work())
            signum = await run.attend(work, signals)
            if signum is None:
                return work.result()
            hurry = signum == signal.SIGINT
            work.cancel()
            await asyncio.wait([work])
            interrupted = signum == signal.SIGINT
            return Outcome(
                status=Status.INTERRUPTED if interrupted else Status.TERMINATED, exit_code=128 + signum
            )
        finally:
            await _end(manager, signals, now=hurry)


class _Run:
    """A job while it runs."""

    def __init__(self, manager: AsyncKernelManager, job: Job, screen: Screen) -> None:
        self._manager = manager
        self._job = job
        self._screen = screen
        self._answers = Answers(sys.stdin)
        self._is_running_code = False
        self._was_interrupted = False
        self._error: ErrorOutput | None = None

    async def attend(self, work: asyncio.Future[Outcome], signals: Signals) -> int | None:
        """Wait for the work's end, and interrupt the kernel meanwhile if the person wants that.

        Returns:
            None, or the signal that asks for an end before that.
        """
        interrupt: asyncio.Task[None] | None = None
        while (signum := await signals.next(before=work)) is not None:
            if signum != signal.SIGINT or self._was_interrupted or not self._is_running_code:
                break
            self._was_interrupted = True
            # The terminal has shown ^C, and the cursor stands behind it.
            say(("\n" if sys.stderr.isatty() else "") + "interrupted; once more to stop the kernel")
            interrupt = asyncio.ensure_future(self._interrupt())
        if interrupt is not None:
            interrupt.cancel()
            await asyncio.wait([interrupt])
        return signum

    async def _interrupt(self) -> None:
        try:
            await self._manager.interrupt_kernel()
        except KernelyardError as error:
            if await self._manager.is_alive():
                tell(error)

    async def work(self) -> Outcome:
        """Start the kernel and run the code."""
        try:
            return await self._work()
        except KernelyardError as error:
            return Outcome(status=Status.FAILED, exit_code=exit_code_of(error), error=error)
        except TimeoutError:
            say(f"error: the code did not end within {self._job.timeout:g} s; the kernel is stopped")
            return self._outcome(Status.TIMEOUT)
        except BrokenPipeError:
            return self._outcome(Status.OUTPUT_CLOSED)
        except OSError as error:
            say(f"error: the output cannot be written: {error.strerror}")
            return self._outcome(Status.OUTPUT_CLOSED)

    async def _work(self) -> Outcome:
        await self._manager.start_kernel(**self._job.launch)
        client: AsyncKernelClient = self._manager.client()
        client.start_channels(stdin=self._job.may_ask)
        try:
            await self._manager.wait_for_ready(self._job.startup_timeout)
            self._is_running_code = True
            reply = await client.execute_interactive(
                self._job.code,
                allow_stdin=self._job.may_ask,
                timeout=self._job.timeout,
                output_hook=self._show,
                stdin_hook=self._answer,
            )
        finally:
            self._is_running_code = False
            client.stop_channels()
        return await self._conclude(reply)

    async def _show(self, message: Message) -> None:
        output = to_output(message)
        if output is None:
            return
        if output["output_type"] == "error":
            self._error = ErrorOutput(output["ename"], output["evalue"], tuple(output["traceback"]))
        await self._screen.show(output)

    async def _answer(self, question: Message) -> str | None:
        answer = await self._answers.answer(question)
        if answer is None:
            say("error: the code asks for input, and standard input is at its end; interrupting the kernel")
            await self._interrupt()
        return answer

    async def _conclude(self, reply: Message) -> Outcome:
        content = reply["content"]
        count = content.get("execution_count")
        count = count if isinstance(count, int) else None
        if content.get("status") == "ok":
            return self._outcome(Status.OK, count)
        if self._error is None:
            # Not every kernel says on iopub what its reply says.
            output = to_output({"msg_type": "error", "content": content})
            if output is not None and (output["ename"] or output["evalue"]):
                await self._show({"msg_type": "error", "content": content})
        return self._outcome(Status.INTERRUPTED if self._was_interrupted else Status.ERROR, count)

    def _outcome(self, status: Status, count: int | None = None) -> Outcome:
        return Outcome(status=status, exit_code=_EXIT_CODES[status], execution_count=count, error=self._error)


async def _end(manager: AsyncKernelManager, signals: Signals, *, now: bool) -> None:
    """End the kernel; a signal meanwhile says that it takes too long."""
    ending = asyncio.ensure_future(manager.shutdown_kernel(now=now))
    try:
        while await signals.next(before=ending) is not None:
            await manager.kill_kernel()
        ending.result()
    except KernelyardError as error:
        tell(error)
