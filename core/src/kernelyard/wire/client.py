"""`AsyncKernelClient`: runs code in a kernel, and collects what comes of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any

from kernelyard.errors import ExecutionError, KernelStateError
from kernelyard.wire import interactive, requests
from kernelyard.wire.exchange import Exchange
from kernelyard.wire.message import Message
from kernelyard.wire.readiness import ReadyClient
from kernelyard.wire.requests import Request
from kernelyard.wire.result import OUTPUT_TYPES, ExecutionResult, Output, OutputCollector, to_output

__all__ = ["AsyncKernelClient", "Hook"]

Hook = Callable[[Message], Any]
"""Called with a message; what it returns is awaited if it can be."""


Call = tuple[Hook, Message]
"""A hook that is to be called, and what with."""

Chooser = Callable[[Message], "Hook | None"]
"""Gets each message of iopub as it comes, and returns the hook to call with it in its turn, if any."""


class AsyncKernelClient(ReadyClient):
    """Talks to a kernel, on an asyncio loop.

    All of its methods are called on the loop on which `start_channels` was. As a context manager it starts and
    stops its channels::

        async with AsyncKernelClient(connection_file=path) as client:
            result = await client.run("6 * 7")

    The arguments are all optional and keywords: `connection_file` or `connection`, or the fields of a connection
    one by one; `context`, the ZeroMQ context to use (by default one of its own); `session`, which builds and signs
    the messages; `kernel`, the link to the manager that owns the kernel, through which the client knows of the
    kernel's end at once; `parent`, `config` and `log`, for programs that give them.

    A message that answers a request that somebody waits for (with `reply=True`, `run`, `outputs`,
    `execute_interactive`, `wait_for_ready`) goes there; every other one can be fetched with `get_shell_msg` and its
    siblings. So any number of tasks may use one client at the same time.
    """

    async def __aenter__(self) -> AsyncKernelClient:
        self.start_channels()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop_channels()

    # Running code -----------------------------------------------------------------------------------------------

    async def execute_interactive(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        user_expressions: Mapping[str, str] | None = None,
        allow_stdin: bool | None = None,
        stop_on_error: bool = True,
        timeout: float | None = None,
        output_hook: Hook | None = None,
        stdin_hook: Hook | None = None,
    ) -> Message:
        """Run code; show its outputs as they come, and ask the person at the terminal what it asks.

        Args:
            code: the code, in the kernel's language.
            silent: whether to run it without outputs and without history.
            store_history: whether the kernel remembers it and counts it; never if silent.
            user_expressions: expressions to evaluate afterwards, by name; their values are in the reply.
            allow_stdin: whether it may ask for input; None = `self.allow_stdin`.
            stop_on_error: whether an exception makes the kernel abort the requests that wait.
            timeout: seconds for all of it; None = no limit. The code runs on after that.
            output_hook: called with each message on iopub that belongs to it, instead of showing it.
            stdin_hook: called with each question for input. It answers with `input`, or by returning the answer.

        Returns:
            The kernel's reply.

        Raises:
            TimeoutError: it was not over in that time.
            KernelDiedError: the kernel ended before it was.
            KernelStateError: a channel that it needs is not running.
        """
        allow_stdin = self.allow_stdin if allow_stdin is None else allow_stdin
        request = requests.execute(code, silent, store_history, user_expressions, allow_stdin, stop_on_error)
        return await self._converse(
            request,
            chooser(output_hook),
            allow_stdin=allow_stdin,
            stdin_hook=stdin_hook,
            timeout=timeout,
        )

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,
        raise_on_error: bool = False,
        silent: bool = False,
        store_history: bool = True,
        user_expressions: Mapping[str, str] | None = None,
        allow_stdin: bool = False,
        stdin_hook: Hook | None = None,
        stop_on_error: bool = True,
        subshell_id: str | None = None,
    ) -> ExecutionResult:
        """Run code, and return what came of it.

        Args:
            code: the code, in the kernel's language.
            timeout: seconds for all of it; None = no limit. The code runs on after that: interrupt the kernel.
            raise_on_error: whether an exception in the code is raised here, instead of being in the result.
            silent: whether to run it without outputs and without history.
            store_history: whether the kernel remembers it and counts it; never if silent.
            user_expressions: expressions to evaluate afterwards, by name; their values are in the reply.
            allow_stdin: whether it may ask for input.
            stdin_hook: called with each question for input. It answers with `input`, or by returning the answer.
                None = ask the person at the terminal.
            stop_on_error: whether an exception makes the kernel abort the requests that wait.
            subshell_id: where to run it; None = the main shell.

        Raises:
            ExecutionError: the code raised an exception, and `raise_on_error` is true.
            TimeoutError: it was not over in that time.
            KernelDiedError: the kernel ended before it was.
            KernelStateError: a channel that it needs is not running.
        """
        request = requests.execute(code, silent, store_history, user_expressions, allow_stdin, stop_on_error)
        collector = OutputCollector()
        reply = await self._converse(
            request,
            collector.add,
            allow_stdin=allow_stdin,
            stdin_hook=stdin_hook,
            timeout=timeout,
            subshell_id=subshell_id,
        )
        return conclude(collector.result(reply), raise_on_error=raise_on_error)

    async def outputs(
        self,
        code: str,
        *,
        timeout: float | None = None,
        silent: bool = False,
        store_history: bool = True,
        allow_stdin: bool = False,
        stdin_hook: Hook | None = None,
        stop_on_error: bool = True,
        subshell_id: str | None = None,
    ) -> AsyncGenerator[Output, None]:
        """Run code, and yield its outputs as they arrive, until it is over.

        An output is a dict as nbformat 4 has it, with "output_type" "stream", "display_data", "execute_result" or
        "error"; besides there are "update_display_data" and "clear_output". Leaving the loop early does not stop
        the code.

        Args:
            code: the code, in the kernel's language.
            timeout: seconds for all of it; None = no limit.
            silent: whether to run it without outputs and without history.
            store_history: whether the kernel remembers it and counts it; never if silent.
            allow_stdin: whether it may ask for input.
            stdin_hook: as in `run`.
            stop_on_error: whether an exception makes the kernel abort the requests that wait.
            subshell_id: where to run it; None = the main shell.

        Raises:
            TimeoutError: it was not over in that time.
            KernelDiedError: the kernel ended before it was.
            KernelStateError: a channel that it needs is not running.
        """
        request = requests.execute(code, silent, store_history, None, allow_stdin, stop_on_error)
        inbox: asyncio.Queue[Call | None] = asyncio.Queue()
        timeout = await self._until_listening(timeout)
        ask = partial(self._answer, stdin_hook) if allow_stdin else None
        exchange = self._open(
            request, is_output, ask, inbox.put_nowait, timeout=timeout, subshell_id=subshell_id
        )
        try:
            while (call := await inbox.get()) is not None:
                hook, message = call
                if hook is to_output:
                    output = to_output(message)
                    if output is not None:
                        yield output
                else:
                    await _carry_out(call, exchange)
            exchange.done.result()
        finally:
            exchange.abandon()

    async def _converse(
        self,
        request: Request,
        choose: Chooser,
        *,
        allow_stdin: bool,
        stdin_hook: Hook | None,
        timeout: float | None,
        subshell_id: str | None = None,
    ) -> Message:
        """Run code, call hooks one after the other, and return the reply."""
        if allow_stdin and not self._stdin.is_alive():
            raise KernelStateError("Code may ask for input only while the stdin channel is running.")
        timeout = await self._until_listening(timeout)
        inbox: asyncio.Queue[Call | None] = asyncio.Queue()
        ask = partial(self._answer, stdin_hook) if allow_stdin else None
        exchange = self._open(
            request, choose, ask, inbox.put_nowait, timeout=timeout, subshell_id=subshell_id
        )
        try:
            while (call := await inbox.get()) is not None:
                await _carry_out(call, exchange)
            return exchange.done.result()
        finally:
            exchange.abandon()

    def _open(
        self,
        request: Request,
        choose: Chooser,
        ask: Hook | None,
        put: Callable[[Call | None], object],
        *,
        timeout: float | None,
        subshell_id: str | None = None,
    ) -> Exchange:
        """Send code to the kernel. Hooks to call are put as they come up, each with its message, and None at the end.

        Args:
            request: the code.
            choose: gets each message of iopub at once, and returns the hook to call with it, if any.
            ask: the hook for questions.
            put: takes them.
            timeout: seconds.
            subshell_id: where to run it.
        """

        def on_output(message: Message) -> None:
            hook = choose(message)
            if hook is not None:
                put((hook, message))

        return self._begin(
            self._message(request, subshell_id),
            "shell",
            on_output=on_output,
            on_input=None if ask is None else lambda message: put((ask, message)),
            on_end=lambda: put(None),
            timeout=timeout,
        )

    async def _answer(self, stdin_hook: Hook | None, question: Message) -> None:
        """Have a question answered, and send the answer if it is still wanted then."""
        if stdin_hook is None:
            answer: Any = await interactive.in_daemon_thread(interactive.ask, question)
        else:
            answer = stdin_hook(question)
            if inspect.isawaitable(answer):
                answer = await answer
        self._reply_to(question, answer)

    def _reply_to(self, question: Message, answer: object) -> None:
        if isinstance(answer, str) and self._exchanges.is_waiting(question["parent_header"].get("msg_id")):
            self.input(answer)


def chooser(output_hook: Hook | None) -> Chooser:
    """Choose the given hook for every message, or if there is none what shows those that can be shown."""
    if output_hook is not None:
        return lambda _: output_hook
    show = interactive.output_hook()
    # What shows nothing need not wake anybody.
    return lambda message: show if message["msg_type"] in interactive.SHOWN else None


def conclude(result: ExecutionResult, *, raise_on_error: bool) -> ExecutionResult:
    """Return the result, or raise an ExecutionError if it is to be raised and the code did not run to its end."""
    if raise_on_error and not result.ok:
        if result.error is not None:
            what = f"{result.error.ename}: {result.error.evalue}"
        elif result.aborted:
            what = "The kernel dropped the code without running it, after an interrupt or another's error."
        else:
            what = f"The reply is {result.reply['content'].get('status')!r}."
        raise ExecutionError(what, result=result)
    return result


def is_output(message: Message) -> Hook | None:
    """Choose `to_output` for the messages that carry an output."""
    return to_output if message["msg_type"] in OUTPUT_TYPES else None


async def _carry_out(call: Call, exchange: Exchange) -> None:
    """Call a hook; if it is asynchronous, wait for it, but not longer than for what it is about."""
    hook, message = call
    result = hook(message)
    if not inspect.isawaitable(result):
        return
    task = asyncio.ensure_future(result)
    try:
        await asyncio.wait({task, exchange.done}, return_when=asyncio.FIRST_COMPLETED)
        question = message["msg_type"] == "input_request"
        if not task.done() and not question and exchange.done.exception() is None:
            await task  # all has come, and is shown to its end
    finally:
        if not task.done():
            task.cancel()
    if task.done():
        task.result()
