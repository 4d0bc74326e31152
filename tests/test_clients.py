"""Clients and their manager: they find each other again after a stop, on another loop, and on other ports."""

from __future__ import annotations

import asyncio

import pytest
from kernelyard import AsyncKernelManager, KernelManager, KernelStartError, start_new_kernel
from traitlets.config import Config


def test_a_client_that_was_stopped_meanwhile_follows_to_new_ports():
    km, kc = start_new_kernel()
    kc.stop_channels()
    km.restart_kernel(newports=True)
    kc.start_channels()
    kc.wait_for_ready(60)
    assert kc.run("6 * 7").data["text/plain"] == "42"
    kc.stop_channels()
    km.shutdown_kernel()
    km.start_kernel()
    with kc:
        kc.wait_for_ready(60)
        assert kc.run("6 * 7").data["text/plain"] == "42"
    km.shutdown_kernel(now=True)


def test_a_client_may_be_made_before_the_kernel():
    km = KernelManager()
    kc = km.client()
    km.start_kernel()
    with kc:
        kc.wait_for_ready(60)
        assert kc.run("6 * 7").data["text/plain"] == "42"
    km.shutdown_kernel(now=True)


def test_an_async_client_may_be_used_on_several_loops_in_turn():
    km = AsyncKernelManager()

    async def begin():
        await km.start_kernel()
        kc = km.client()
        kc.start_channels()
        await kc.wait_for_ready(60)
        return kc

    async def use(kc):
        reply = await asyncio.create_task(kc.kernel_info(reply=True, timeout=30))
        assert reply["content"]["status"] == "ok"
        assert (await kc.run("6 * 7", timeout=30)).data["text/plain"] == "42"

    async def end(kc):
        kc.stop_channels()
        await km.shutdown_kernel(now=True)

    kc = asyncio.run(begin())
    asyncio.run(use(kc))
    asyncio.run(use(kc))
    asyncio.run(end(kc))


def test_requests_that_nobody_awaits_complain_about_nothing(script_kernel, capfd):
    """A slow death while starting fails several requests at once, of which one is awaited."""
    name = script_kernel("import time; time.sleep(1.5); raise SystemExit(5)")
    with pytest.raises(KernelStartError, match="code 5"):
        start_new_kernel(kernel_name=name)
    assert "never retrieved" not in capfd.readouterr().err


def test_jupyter_clients_session_configuration_is_read():
    config = Config(
        {"Session": {"key": b"abc", "username": "bob"}, "ConnectionFileMixin": {"ip": "127.0.0.2"}}
    )
    km = KernelManager(config=config)
    assert (km.session.key, km.session.username, km.ip) == (b"abc", "bob", "127.0.0.2")


def test_a_foreign_shutdown_returns_when_the_kernel_is_gone():
    owner, kc = start_new_kernel()
    guest = KernelManager(owns_kernel=False)
    guest.load_connection_file(owner.connection_file)
    guest.interrupt_kernel()
    guest.interrupt_kernel()
    guest.shutdown_kernel()
    assert not guest.is_alive()
    guest.shutdown_kernel()
    kc.stop_channels()
    owner.shutdown_kernel()


def test_a_restart_may_change_the_kernelspec(make_kernel):
    km, kc = start_new_kernel()
    km.restart_kernel(kernel_name=make_kernel("other", env={"WHO": "other"}))
    kc.wait_for_ready(60)
    assert kc.run("import os; os.environ['WHO']").data["text/plain"] == "'other'"
    assert km.kernel_name == "other"
    kc.stop_channels()
    km.shutdown_kernel(now=True)
