"""Finding plugins, checking that they keep the contract, and calling them.

pluggy is synchronous and its hooks here are coroutines, so nothing calls ``pm.hook`` but this module. Each kernel
has a `Relay`: a plugin manager with exactly the one provisioner that its kernelspec selects, and the observers and
policies that are installed. A plugin that cannot be used is named with its distribution and its error; it never
harms the others.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import logging
from collections.abc import Awaitable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import pluggy
from traitlets.config import Config, Configurable

from kernelyard import hookspecs
from kernelyard.config import nearest
from kernelyard.errors import (
    BrokenPluginError,
    KernelyardError,
    LaunchError,
    ProvisionerError,
    ProvisionerNotFoundError,
)
from kernelyard.types import ExitStatus, JSONValue, KernelHandle, LaunchRequest

__all__ = [
    "PLUGIN_GROUP",
    "PROVISIONER_GROUP",
    "Relay",
    "entry_points",
    "load_plugin",
    "load_plugins",
    "load_provisioner",
    "provisioner_name",
]

PROVISIONER_GROUP = "kernelyard.provisioners"
PLUGIN_GROUP = "kernelyard.plugins"

#: Seconds between two questions to a provisioner that cannot tell by itself when a kernel ends: first, and at most.
POLL_INTERVALS = (0.05, 1.0)

#: Seconds that an observer may take, and seconds of these that the kernel waits for it.
OBSERVER_TIMEOUT, OBSERVER_PATIENCE = 10.0, 0.5

#: Seconds that a provisioner may take to kill a kernel, or to clean up after one.
ENDING_TIMEOUT = 120.0

_logger = logging.getLogger("kernelyard")
T = TypeVar("T")


def provisioner_name(name: str) -> str:
    """Return the name under which a provisioner is registered here: jupyter_client's local one is ours."""
    return "local" if name == "local-provisioner" else name


def entry_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    """Return the entry points of a group by name. Of two with one name, the one that Python finds first counts."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=group):
        if point.name in found and point.value != found[point.name].value:
            _logger.warning(
                "two packages offer %r in %s: %s is used, %s is not",
                *(point.name, group, described(found[point.name]), described(point)),
            )
        found.setdefault(point.name, point)
    return found


def described(point: importlib.metadata.EntryPoint) -> str:
    """Return what an entry point names and the distribution that it comes from, for messages."""
    origin = f" ({point.dist.name} {point.dist.version})" if point.dist is not None else ""
    return f"{point.value}{origin}"


_provisioners: dict[tuple[str, str], object] = {}


def load_provisioner(name: str, config: Config | None = None, *, asked_by: str = "") -> object:
    """Return the provisioner of that name, made once per configuration.

    Args:
        name: the entry point's name.
        config: the site's traitlets configuration.
        asked_by: what names this provisioner, such as a kernel.json's path, for the error.

    Raises:
        ProvisionerNotFoundError: nothing of that name is installed.
        BrokenPluginError: it cannot be imported or made, or does not keep the contract.
    """
    name = provisioner_name(name)
    config = Config() if config is None else config
    key = (name, repr({section: config[section] for section in sorted(config)}))
    if key not in _provisioners:
        known = entry_points(PROVISIONER_GROUP)
        if name not in known:
            installed = ", ".join(sorted(known)) or "none"
            raise ProvisionerNotFoundError(
                f"{asked_by + ': ' if asked_by else ''}No provisioner {name!r} is installed; installed: {installed}.",
                provisioner=name,
                hint=f"{nearest(name, known)}Try: pip install kernelyard-{name}",
            )
        plugin = _load(known[name], config)
        missing = [h for h in hookspecs.REQUIRED_HOOKS if not hasattr(plugin, f"{hookspecs.PROJECT}_{h}")]
        if missing:
            raise BrokenPluginError(
                f"Provisioner {name!r}, {described(known[name])}, lacks the hooks {', '.join(missing)}.",
                provisioner=name,
                hint="Tell its author: kernelyard.hookspecs says what every provisioner must have.",
            )
        _provisioners[key] = plugin
    return _provisioners[key]


def _load(point: importlib.metadata.EntryPoint, config: Config) -> object:
    try:
        loaded = point.load()
        if not inspect.isclass(loaded):
            return loaded
        return loaded(config=config) if issubclass(loaded, Configurable) else loaded()
    except Exception as error:  # a plugin may fail in any way; its error is passed on with its name
        raise BrokenPluginError(
            f"Plugin {point.name!r}, {described(point)}, cannot be loaded: {type(error).__name__}: {error}",
            provisioner=point.name,
            hint="Repair or remove that package.",
        ) from error


@cache
def load_plugins() -> tuple[tuple[str, object], ...]:
    """Return the installed observers and policies by name, in the order of their names.

    One that is broken is logged with its distribution and its error, and left out: a broken observer stops no
    kernel. A broken *policy* must stop every kernel, since it cannot be asked; as nobody can know which of the two a
    plugin would have been that cannot be loaded, its entry point's name tells: see docs/reference/plugins.md.

    Raises:
        BrokenPluginError: a plugin whose name begins with "policy" cannot be loaded or does not keep the contract.
    """
    plugins = []
    for name, point in sorted(entry_points(PLUGIN_GROUP).items()):
        try:
            plugins.append((name, load_plugin(point)))
        except BrokenPluginError:
            if name.startswith("policy"):
                raise
            _logger.exception("plugin %r is left out", name)
    return tuple(plugins)


def load_plugin(point: importlib.metadata.EntryPoint) -> object:
    """Return an observer or a policy.

    Raises:
        BrokenPluginError: it cannot be loaded, does not keep the contract, or has hooks that only a provisioner may.
    """
    plugin = _load(point, Config())
    allowed = ("prepare", "on_launch", "on_exit", "on_restart", "on_cleanup")
    _new_manager([(point.name, plugin)], hooks=allowed)
    return plugin


def _new_manager(
    plugins: Sequence[tuple[str, object]], hooks: Sequence[str] | None = None
) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name, plugin in plugins:
        try:
            manager.register(plugin, name=name)
            manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise BrokenPluginError(
                f"Plugin {name!r} does not keep the contract: {error}", provisioner=name
            ) from error
        for caller in manager.get_hookcallers(plugin) or ():
            short = caller.name.removeprefix(f"{hookspecs.PROJECT}_")
            if hooks is not None and short not in hooks:
                raise BrokenPluginError(
                    f"Plugin {name!r} implements {caller.name}, which only a provisioner may.",
                    provisioner=name,
                    hint=f"Register provisioners in the entry-point group {PROVISIONER_GROUP}.",
                )
            for implementation in caller.get_hookimpls():
                if not inspect.iscoroutinefunction(implementation.function):
                    raise BrokenPluginError(
                        f"Plugin {name!r} implements {caller.name} as a plain function; it must be `async def`.",
                        provisioner=name,
                    )
    return manager


def _call(implementation: pluggy.HookImpl, **arguments: object) -> Awaitable[Any]:
    """Call one implementation with those of the arguments that it declares."""
    pending: Awaitable[Any] = implementation.function(*(arguments[n] for n in implementation.argnames))  # type: ignore[assignment]  # pluggy types functions as returning object
    return pending


class Relay:
    """The plugins of one kernel, with a typed method for each hook.

    Args:
        name: the provisioner's name.
        provisioner: the one object that launches this kernel and looks after it.
        plugins: observers and policies, by name; by default those that are installed.
        log: where an observer's failure is told.

    Raises:
        BrokenPluginError: one of them does not keep the contract.
    """

    def __init__(
        self,
        name: str,
        provisioner: object,
        plugins: Sequence[tuple[str, object]] | None = None,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        self.name = name
        self.provisioner = provisioner
        self._log = _logger if log is None else log
        self._telling: set[asyncio.Future[Any]] = set()
        others = load_plugins() if plugins is None else plugins
        self._manager = _new_manager([*others, (f"provisioner {name}", provisioner)])

    async def launch(self, request: LaunchRequest) -> KernelHandle:
        """Start the kernel; see `kernelyard.hookspecs.kernelyard_launch`."""
        handle: KernelHandle = await self._act("launch", request.kernel_id, KernelHandle, request=request)
        if not handle.connection.is_complete:
            await self.kill(handle)
            await self.cleanup(handle)
            raise BrokenPluginError(
                f"Provisioner {self.name!r} launched a kernel without saying where its channels are: "
                f"{handle.connection.ports}.",
                kernel_id=request.kernel_id,
                provisioner=self.name,
            )
        return handle

    async def poll(self, handle: KernelHandle) -> ExitStatus | None:
        """Say whether the kernel runs (None) or how it ended."""
        status: ExitStatus | None = await self._act(
            "poll", handle.kernel_id, (ExitStatus, type(None)), handle=handle
        )
        return status

    async def wait(self, handle: KernelHandle) -> ExitStatus:
        """Return how the kernel ended as soon as it has; by asking again and again if the provisioner cannot wait."""
        status: ExitStatus | None
        if self.offers("wait"):
            status = await self._act("wait", handle.kernel_id, ExitStatus, handle=handle)
            return status
        interval, longest = POLL_INTERVALS
        while (status := await self.poll(handle)) is None:
            await asyncio.sleep(interval)
            interval = min(2 * interval, longest)
        return status

    async def signal(self, handle: KernelHandle, signum: int, *, restart: bool = False) -> None:
        """Deliver a signal to the kernel and its children."""
        await self._act("signal", handle.kernel_id, type(None), handle=handle, signum=signum, restart=restart)

    async def kill(self, handle: KernelHandle, *, restart: bool = False) -> None:
        """End the kernel and its children irresistibly."""
        await self._act("kill", handle.kernel_id, type(None), handle=handle, restart=restart)

    async def cleanup(self, handle: KernelHandle, *, restart: bool = False) -> None:
        """Remove what is left of a kernel that has ended."""
        await self._act("cleanup", handle.kernel_id, type(None), handle=handle, restart=restart)

    async def attach(self, handle: KernelHandle) -> KernelHandle:
        """Make a kernel that another process launched reachable from this one."""
        if not self.offers("attach"):
            return handle
        attached: KernelHandle = await self._act("attach", handle.kernel_id, KernelHandle, handle=handle)
        return attached

    async def logs(self, handle: KernelHandle, tail: int) -> list[str]:
        """Return the last lines that the kernel printed; none if the provisioner keeps none."""
        if not self.offers("logs"):
            return []
        return list(await self._act("logs", handle.kernel_id, Sequence, handle=handle, tail=tail))

    async def check(self) -> dict[str, JSONValue]:
        """Say whether the place can be used now; {"ok": True} if the provisioner has nothing to say about it."""
        if not self.offers("check"):
            return {"ok": True}
        return dict(await self._act("check", None, Mapping))

    async def plan(self, request: LaunchRequest) -> dict[str, JSONValue]:
        """Describe what the place would be given; empty if the provisioner has nothing to say about it."""
        if not self.offers("plan"):
            return {}
        return dict(await self._act("plan", request.kernel_id, Mapping, request=request))

    async def prepare(self, request: LaunchRequest) -> LaunchRequest:
        """Let the policies change the launch, one after the other, or refuse it."""
        for implementation in self._hook("prepare").get_hookimpls():
            result: object = await self._guarded(
                "prepare",
                request.kernel_id,
                _call(implementation, request=request),
                implementation.plugin_name,
            )
            if not isinstance(result, LaunchRequest):
                raise BrokenPluginError(
                    f"Policy {implementation.plugin_name!r} returned {type(result).__name__} "
                    "instead of a LaunchRequest.",
                    kernel_id=request.kernel_id,
                    provisioner=self.name,
                )
            request = result
        return request

    async def notify(self, event: str, **values: Any) -> None:
        """Tell the observers of `event` ("launch", "exit", "restart", "cleanup"), all at once.

        What one of them raises is logged, and so is that it takes too long. A slow one goes on in the background: no
        observer stops a kernel.
        """
        observers = self._hook(f"on_{event}").get_hookimpls()
        if not observers:
            return
        telling = asyncio.gather(*(self._tell(observer, event, values) for observer in observers))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        await asyncio.wait([telling], timeout=OBSERVER_PATIENCE)

    async def _tell(self, observer: pluggy.HookImpl, event: str, values: Mapping[str, Any]) -> None:
        try:
            await asyncio.wait_for(_call(observer, **values), OBSERVER_TIMEOUT)
        except Exception:  # noqa: BLE001 - an observer may fail in any way, and must not stop a kernel
            self._log.exception("observer %r failed in on_%s", observer.plugin_name, event)

    def offers(self, hook: str) -> bool:
        """Return whether the provisioner implements a hook, named without its prefix."""
        return any(i.plugin is self.provisioner for i in self._hook(hook).get_hookimpls())

    def _hook(self, name: str) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._manager.hook, f"{hookspecs.PROJECT}_{name}")
        return caller

    async def _act(self, hook: str, kernel_id: str | None, expected: Any, **arguments: Any) -> Any:
        """Call the provisioner's implementation of a hook, which must be the only one, and check what it returns."""
        [pending] = self._hook(hook)(**arguments)
        result = await self._guarded(hook, kernel_id, pending, self.name)
        if not isinstance(result, expected):
            raise BrokenPluginError(
                f"Provisioner {self.name!r} returned {type(result).__name__} from {hookspecs.PROJECT}_{hook}.",
                kernel_id=kernel_id,
                provisioner=self.name,
            )
        return result

    async def _guarded(self, hook: str, kernel_id: str | None, pending: Awaitable[T], plugin: str) -> T:
        """Await a plugin; our own errors get the kernel's id and pass, all others are named with the plugin."""
        try:
            if hook in ("kill", "cleanup"):
                return await asyncio.wait_for(pending, ENDING_TIMEOUT)
            return await pending
        except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
            raise ProvisionerError(
                f"Plugin {plugin!r} timed out in {hookspecs.PROJECT}_{hook}.",
                kernel_id=kernel_id,
                provisioner=self.name,
            ) from error
        except KernelyardError as error:
            error.kernel_id = error.kernel_id or kernel_id
            error.provisioner = error.provisioner or self.name
            raise
        except Exception as error:
            kind = LaunchError if hook in ("launch", "prepare") else ProvisionerError
            raise kind(
                f"Plugin {plugin!r} failed in {hookspecs.PROJECT}_{hook}: {type(error).__name__}: {error}",
                kernel_id=kernel_id,
                provisioner=self.name,
            ) from error
