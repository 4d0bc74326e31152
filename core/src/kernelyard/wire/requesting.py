"""A client's requests, as methods. What they say is in `requests`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeAlias

from kernelyard.wire import requests
from kernelyard.wire.connected import ConnectedClient
from kernelyard.wire.exchange import Exchange
from kernelyard.wire.message import Message
from kernelyard.wire.requests import Request

__all__ = ["Answer", "RequestingClient"]

Answer: TypeAlias = Any
"""By `reply`: False, the id of the request, a str; True, the reply (in the async client an awaitable of it)."""


class RequestingClient(ConnectedClient):
    """Sends requests.

    Each method sends at once, without waiting for the kernel to be there, and returns the id of its request; the
    reply then comes with `get_shell_msg` or `get_control_msg`. With `reply=True` it returns an awaitable of the
    reply instead, which raises TimeoutError after `timeout` seconds (None = no limit), and KernelDiedError if the
    kernel ends meanwhile. All raise KernelStateError if the channel is not running.

    Requests on shell take `subshell_id`, which says where they run (JEP 91): the id from `create_subshell`, or
    None for the main shell.
    """

    def _message(self, request: Request, subshell_id: str | None = None) -> Message:
        message = self.session.msg(request.msg_type, request.content)
        if subshell_id is not None:
            message["header"]["subshell_id"] = subshell_id
        return message

    def _ask(
        self, request: Request, reply: bool, timeout: float | None, subshell_id: str | None = None
    ) -> Answer:
        message = self._message(request, subshell_id)
        if reply:
            return _answer(self._begin(message, request.channel, timeout=timeout))
        self._channels[request.channel].send(message)
        return message["msg_id"]

    def execute(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        user_expressions: Mapping[str, str] | None = None,
        allow_stdin: bool | None = None,
        stop_on_error: bool = True,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        """Run code.

        Args:
            code: the code, in the kernel's language.
            silent: whether to run it without outputs on iopub and without history.
            store_history: whether the kernel remembers it and counts it; never if silent.
            user_expressions: expressions to evaluate afterwards, by name; their values are in the reply.
            allow_stdin: whether it may ask for input; None = `self.allow_stdin`.
            stop_on_error: whether an exception makes the kernel abort the requests that wait.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.

        Returns:
            The id of the request; or with `reply=True` the reply.

        Raises:
            ValueError: the code is not text, or the expressions are not a mapping from text to text.
            TimeoutError: there was no reply in time.
            KernelDiedError: the kernel ended before it replied.
        """
        allow_stdin = self.allow_stdin if allow_stdin is None else allow_stdin
        request = requests.execute(code, silent, store_history, user_expressions, allow_stdin, stop_on_error)
        return self._ask(request, reply, timeout, subshell_id)

    def complete(
        self,
        code: str,
        cursor_pos: int | None = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        """Ask how code may go on.

        Args:
            code: the code.
            cursor_pos: where the cursor is, in Unicode characters from the start; None = at the end.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.
        """
        return self._ask(requests.complete(code, cursor_pos), reply, timeout, subshell_id)

    def inspect(
        self,
        code: str,
        cursor_pos: int | None = None,
        detail_level: int = 0,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        """Ask about the object at the cursor.

        Args:
            code: the code around it.
            cursor_pos: where the cursor is, in Unicode characters from the start; None = at the end.
            detail_level: 0, or 1 for more, such as source code.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.
        """
        return self._ask(requests.inspect(code, cursor_pos, detail_level), reply, timeout, subshell_id)

    def history(
        self,
        raw: bool = True,
        output: bool = False,
        hist_access_type: str = "range",
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
        **kwargs: Any,
    ) -> Answer:
        """Ask for code that was run before.

        Args:
            raw: whether to get it as it was typed.
            output: whether to get the outputs too.
            hist_access_type: "range" (with `session`, `start`, `stop`), "tail" (with `n`) or "search" (with
                `pattern`, `n`, `unique`).
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.
            **kwargs: what the kind of access takes. `session` is the number of a session, negative ones counting
                back from the present one; `start` and `stop` are lines, `stop` excluded; `n` is how many; `pattern`
                is a glob; `unique` leaves out what is there twice.

        Raises:
            ValueError: `hist_access_type` is none of these.
        """
        request = requests.history(raw, output, hist_access_type, **kwargs)
        return self._ask(request, reply, timeout, subshell_id)

    def is_complete(
        self,
        code: str,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        """Ask whether code is complete, or goes on in the next line.

        Args:
            code: the code.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.
        """
        return self._ask(requests.is_complete(code), reply, timeout, subshell_id)

    def kernel_info(
        self, *, reply: bool = False, timeout: float | None = None, subshell_id: str | None = None
    ) -> Answer:
        """Ask which kernel this is, which language and which protocol it speaks.

        Args:
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.
        """
        return self._ask(requests.kernel_info(), reply, timeout, subshell_id)

    def comm_info(
        self,
        target_name: str | None = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        """Ask which comms are open.

        Args:
            target_name: only those of this target; None = all.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
            subshell_id: where to run it.
        """
        return self._ask(requests.comm_info(target_name), reply, timeout, subshell_id)

    def shutdown(self, restart: bool = False, *, reply: bool = False, timeout: float | None = None) -> Answer:
        """Ask the kernel to end itself. Its process may live on for a moment after the reply.

        Args:
            restart: whether another kernel will be started in its place.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
        """
        return self._ask(requests.shutdown(restart), reply, timeout)

    def interrupt(self, *, reply: bool = False, timeout: float | None = None) -> Answer:
        """Ask the kernel to interrupt the code that runs. Not all kernels do; a manager can send a signal instead.

        Args:
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
        """
        return self._ask(requests.interrupt(), reply, timeout)

    def debug(
        self, content: Mapping[str, Any], *, reply: bool = False, timeout: float | None = None
    ) -> Answer:
        """Send a request of the Debug Adapter Protocol to the kernel's debugger.

        Args:
            content: the request: `type`, `seq`, `command`, `arguments`.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
        """
        return self._ask(requests.debug(content), reply, timeout)

    def create_subshell(self, *, reply: bool = False, timeout: float | None = None) -> Answer:
        """Ask for a subshell, which runs code beside the main shell; its id is in the reply (JEP 91).

        Args:
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
        """
        return self._ask(requests.create_subshell(), reply, timeout)

    def delete_subshell(
        self, subshell_id: str, *, reply: bool = False, timeout: float | None = None
    ) -> Answer:
        """Ask to delete a subshell.

        Args:
            subshell_id: which.
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
        """
        return self._ask(requests.delete_subshell(subshell_id), reply, timeout)

    def list_subshell(self, *, reply: bool = False, timeout: float | None = None) -> Answer:
        """Ask which subshells there are.

        Args:
            reply: whether to return the reply, not the id of the request.
            timeout: seconds to wait for the reply; None = no limit.
        """
        return self._ask(requests.list_subshell(), reply, timeout)

    def input(self, string: str) -> None:
        """Answer the kernel's question for input.

        Args:
            string: the answer.
        """
        self._stdin.send(self._message(requests.input_reply(string)))


async def _answer(exchange: Exchange) -> Message:
    """The reply to a request that was sent; a coroutine, so that it can be made a task, as in jupyter_client."""
    try:
        return await exchange.done
    except asyncio.CancelledError:
        exchange.abandon()
        raise
