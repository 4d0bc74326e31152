"""`BlockingKernelClient`: the async client, on the background loop, for programs without a loop of their own."""

from __future__ import annotations

import asyncio
import inspect
import queue
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from kernelyard._portal import Portal
from kernelyard.errors import KernelStateError
from kernelyard.wire import interactive, requests
from kernelyard.wire.blocking_connected import documented_as
from kernelyard.wire.blocking_requesting import BlockingRequestingClient
from kernelyard.wire.client import AsyncKernelClient, Call, Chooser, Hook, chooser, conclude, is_output
from kernelyard.wire.exchange import Exchange
from kernelyard.wire.message import Message
from kernelyard.wire.requests import Request
from kernelyard.wire.result import ExecutionResult, Output, OutputCollector, to_output

__all__ = ["BlockingKernelClient"]


class BlockingKernelClient(BlockingRequestingClient):
    """Talks to a kernel from any thread, also from one in which an event loop runs.

    It takes the arguments of `AsyncKernelClient`, and its methods do the same, but return values where those return
    awaitables. Hooks, and the default ones that use the terminal, run in the thread that called. An interrupt
    (Ctrl-C) while it waits ends the waiting, not the code in the kernel. ::

        with BlockingKernelClient(connection_file=path) as client:
            result = client.run("6 * 7")
    """

    def __enter__(self) -> BlockingKernelClient:
        self.start_channels()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_channels()

    @documented_as(AsyncKernelClient.execute_interactive)
    def execute_interactive(
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
        allow_stdin = self.allow_stdin if allow_stdin is None else allow_stdin
        request = requests.execute(code, silent, store_history, user_expressions, allow_stdin, stop_on_error)
        conversation = self._converse(
            request, chooser(output_hook), allow_stdin=allow_stdin, stdin_hook=stdin_hook, timeout=timeout
        )
        for call in conversation:
            self._carry_out(call)
        return conversation.reply

    @documented_as(AsyncKernelClient.run)
    def run(
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
        request = requests.execute(code, silent, store_history, user_expressions, allow_stdin, stop_on_error)
        collector = OutputCollector()
        conversation = self._converse(
            request,
            collector.add,
            allow_stdin=allow_stdin,
            stdin_hook=stdin_hook,
            timeout=timeout,
            subshell_id=subshell_id,
        )
        for call in conversation:
            self._carry_out(call)
        return conclude(collector.result(conversation.reply), raise_on_error=raise_on_error)

    @documented_as(AsyncKernelClient.outputs)
    def outputs(
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
    ) -> Generator[Output, None, None]:
        request = requests.execute(code, silent, store_history, None, allow_stdin, stop_on_error)
        conversation = self._converse(
            request,
            is_output,
            allow_stdin=allow_stdin,
            stdin_hook=stdin_hook,
            timeout=timeout,
            subshell_id=subshell_id,
        )
        for call in conversation:
            hook, message = call
            if hook is to_output:
                output = to_output(message)
                if output is not None:
                    yield output
            else:
                self._carry_out(call)

    def _converse(
        self,
        request: Request,
        choose: Chooser,
        *,
        allow_stdin: bool,
        stdin_hook: Hook | None,
        timeout: float | None,
        subshell_id: str | None = None,
    ) -> Conversation:
        client, portal = self._async, self._portal
        if portal is None or (allow_stdin and not client.stdin_channel.is_alive()):
            raise KernelStateError(
                "The channels that this needs are not running.", hint="Call start_channels() first."
            )
        if not client.iopub_channel.heard:
            timeout = self._call(client._until_listening, timeout)  # noqa: SLF001 - this class is its facade
        ask = self._asker(stdin_hook) if allow_stdin else None

        def begin(put: Callable[[Call | None], object]) -> Exchange:
            return client._open(  # noqa: SLF001 - as above
                request, choose, ask, put, timeout=timeout, subshell_id=subshell_id
            )

        return Conversation(portal, begin)

    def _asker(self, stdin_hook: Hook | None) -> Hook:
        hook = interactive.ask if stdin_hook is None else stdin_hook

        def ask(question: Message) -> None:
            answer = self._carry_out((hook, question))

            async def reply() -> None:
                self._async._reply_to(question, answer)  # noqa: SLF001 - this class is its facade

            if answer is not None:
                self._call(reply)

        return ask

    def _carry_out(self, call: Call) -> Any:
        hook, message = call
        result = hook(message)
        if not inspect.isawaitable(result):
            return result

        async def wait() -> Any:
            return await result

        return self._call(wait)


class Conversation:
    """A request under way, from another thread than the loop's. Iterating yields the hooks to call, until it is over.

    There is one hop to the loop and one back, however many messages come, as long as none of them needs a hook.

    Args:
        portal: the loop's.
        begin: sends the request; called on the loop.

    Attributes:
        reply: the kernel's reply, once iterating has ended.
    """

    reply: Message

    def __init__(self, portal: Portal, begin: Callable[[Callable[[Call | None], object]], Exchange]) -> None:
        self._portal = portal
        self._begin = begin

    def __iter__(self) -> Iterator[Call]:
        loop = self._portal.loop
        _refuse_to_wait_for_itself(loop)
        inbox = _Inbox(loop)
        exchanges: list[Exchange] = []

        def begin() -> None:
            try:
                exchanges.append(self._begin(inbox.put))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                inbox.put(error)

        def give_up() -> None:
            for exchange in exchanges:
                exchange.abandon()

        loop.call_soon_threadsafe(begin)
        over = False
        try:
            yield from inbox
            over = True
        finally:
            if not over:
                loop.call_soon_threadsafe(give_up)
        self.reply = exchanges[0].done.result()


class _Inbox:
    """Takes calls on the loop, and yields them in another thread, until None or an error comes, which it raises.

    What comes in one go is handed over in one go, when the loop has nothing else to do: two threads that wake each other
    for every message spend most of their time on waiting for the interpreter.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._batch: list[Call | BaseException | None] = []
        self._handed_over: queue.SimpleQueue[list[Call | BaseException | None]] = queue.SimpleQueue()

    def put(self, item: Call | BaseException | None) -> None:
        """Take a call, the error that ends all, or None: that was the last."""
        self._batch.append(item)
        if not isinstance(item, tuple):
            self._hand_over()
        elif len(self._batch) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._handed_over.put(batch)

    def __iter__(self) -> Iterator[Call]:
        while True:
            for item in self._handed_over.get():
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item


def _refuse_to_wait_for_itself(loop: asyncio.AbstractEventLoop) -> None:
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return
    if here is loop:
        raise RuntimeError(
            "A blocking call on kernelyard's own event loop (from a callback, probably) would wait for itself for "
            "ever. Use the async class there, or call it from another thread."
        )
