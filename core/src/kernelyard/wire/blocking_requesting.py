"""A blocking client's requests, as methods. What they say is in `requests`."""

# ruff: noqa: D102 - documented_as gives each method the documentation of the async one

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kernelyard.wire.blocking_connected import BlockingConnectedClient, documented_as
from kernelyard.wire.client import AsyncKernelClient
from kernelyard.wire.requesting import Answer

__all__ = ["BlockingRequestingClient"]


class BlockingRequestingClient(BlockingConnectedClient):
    """Sends requests; with `reply=True` it waits for the reply and returns it."""

    def _ask(self, method: Callable[..., Answer], *args: Any, reply: bool, **more: Any) -> Answer:
        async def ask() -> Answer:
            answer = method(*args, reply=reply, **more)
            return await answer if reply else answer

        return self._call(ask)

    @documented_as(AsyncKernelClient.execute)
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
        return self._ask(
            self._async.execute,
            code,
            silent,
            store_history,
            user_expressions,
            allow_stdin,
            stop_on_error,
            reply=reply,
            timeout=timeout,
            subshell_id=subshell_id,
        )

    @documented_as(AsyncKernelClient.complete)
    def complete(
        self,
        code: str,
        cursor_pos: int | None = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        return self._ask(
            self._async.complete, code, cursor_pos, reply=reply, timeout=timeout, subshell_id=subshell_id
        )

    @documented_as(AsyncKernelClient.inspect)
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
        return self._ask(
            self._async.inspect,
            code,
            cursor_pos,
            detail_level,
            reply=reply,
            timeout=timeout,
            subshell_id=subshell_id,
        )

    @documented_as(AsyncKernelClient.history)
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
        return self._ask(
            self._async.history,
            raw,
            output,
            hist_access_type,
            reply=reply,
            timeout=timeout,
            subshell_id=subshell_id,
            **kwargs,
        )

    @documented_as(AsyncKernelClient.is_complete)
    def is_complete(
        self,
        code: str,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        return self._ask(self._async.is_complete, code, reply=reply, timeout=timeout, subshell_id=subshell_id)

    @documented_as(AsyncKernelClient.kernel_info)
    def kernel_info(
        self, *, reply: bool = False, timeout: float | None = None, subshell_id: str | None = None
    ) -> Answer:
        return self._ask(self._async.kernel_info, reply=reply, timeout=timeout, subshell_id=subshell_id)

    @documented_as(AsyncKernelClient.comm_info)
    def comm_info(
        self,
        target_name: str | None = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
        subshell_id: str | None = None,
    ) -> Answer:
        return self._ask(
            self._async.comm_info, target_name, reply=reply, timeout=timeout, subshell_id=subshell_id
        )

    @documented_as(AsyncKernelClient.shutdown)
    def shutdown(self, restart: bool = False, *, reply: bool = False, timeout: float | None = None) -> Answer:
        return self._ask(self._async.shutdown, restart, reply=reply, timeout=timeout)

    @documented_as(AsyncKernelClient.interrupt)
    def interrupt(self, *, reply: bool = False, timeout: float | None = None) -> Answer:
        return self._ask(self._async.interrupt, reply=reply, timeout=timeout)

    @documented_as(AsyncKernelClient.debug)
    def debug(
        self, content: Mapping[str, Any], *, reply: bool = False, timeout: float | None = None
    ) -> Answer:
        return self._ask(self._async.debug, content, reply=reply, timeout=timeout)

    @documented_as(AsyncKernelClient.create_subshell)
    def create_subshell(self, *, reply: bool = False, timeout: float | None = None) -> Answer:
        return self._ask(self._async.create_subshell, reply=reply, timeout=timeout)

    @documented_as(AsyncKernelClient.delete_subshell)
    def delete_subshell(
        self, subshell_id: str, *, reply: bool = False, timeout: float | None = None
    ) -> Answer:
        return self._ask(self._async.delete_subshell, subshell_id, reply=reply, timeout=timeout)

    @documented_as(AsyncKernelClient.list_subshell)
    def list_subshell(self, *, reply: bool = False, timeout: float | None = None) -> Answer:
        return self._ask(self._async.list_subshell, reply=reply, timeout=timeout)

    @documented_as(AsyncKernelClient.input)
    def input(self, string: str) -> None:
        async def answer() -> None:
            self._async.input(string)

        self._call(answer)
