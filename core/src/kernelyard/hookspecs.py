"""The contract between the core and its plugins.

A **provisioner** implements the five hooks launch, poll, signal, kill and cleanup, and those of the optional ones
that its place can offer. **Observers** implement `on_*` hooks, **policies** implement `prepare`; both are plugins
of their own, loaded for every kernel.

Rules for every hook:

* It is an `async def`. A plain function is refused when the plugin is registered.
* An implementation may leave out parameters that it does not need, but not rename them.
* It keeps no state per kernel that it could not rebuild from the handle: any process that can read the handle may
  call the hook, also one that did not launch the kernel.
* It never blocks the event loop for longer than a process takes to start.
* Unless its docstring says otherwise, cancelling it leaves the kernel as it was, and it may be called again.

`kernelyard.testing` holds the contract suite: a test for each sentence below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pluggy

from kernelyard.types import ExitStatus, JSONValue, KernelHandle, LaunchRequest

__all__ = ["OPTIONAL_HOOKS", "PROJECT", "REQUIRED_HOOKS", "hookimpl", "hookspec"]

PROJECT = "kernelyard"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method of a plugin as the implementation of the hook of that name."""

REQUIRED_HOOKS = ("launch", "poll", "signal", "kill", "cleanup")
OPTIONAL_HOOKS = ("wait", "attach", "discover", "logs", "check", "plan")


# A provisioner's five hooks ---------------------------------------------------------------------------------


@hookspec
async def kernelyard_launch(request: LaunchRequest) -> KernelHandle:
    """Start the kernel.

    Runs once per start, and once per restart, then with the old kernel's handle in `request.previous`, after that
    kernel was killed and `kernelyard_cleanup` was called for it with `restart=True`. On return the kernel's
    process, container or pod runs, the connection in the handle is complete and true, and a connection file lies
    where the kernel can read it. It does not wait until the kernel answers. The handle goes through JSON and back
    unchanged. Ports that the request names are used, or refused with `PortConflictError`; they are never replaced.
    Neither the key nor any other secret appears in the kernel's command line or environment.

    If it raises, or is cancelled, nothing of the kernel is left behind.

    Args:
        request: all there is to know.

    Raises:
        LaunchError: the kernel could not be started, and why; `CommandNotFoundError` if its command does not exist.
    """


@hookspec
async def kernelyard_poll(handle: KernelHandle) -> ExitStatus | None:
    """Say whether the kernel still runs.

    Returns None while it runs, and how it ended from then on, however often it is asked until `cleanup`.
    A kernel whose exit code cannot be known any more has the reason `lost`. It returns at once: within the time of
    one request to the place.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's.
    """


@hookspec
async def kernelyard_signal(handle: KernelHandle, signum: int, restart: bool) -> None:
    """Deliver a signal to the kernel and its children.

    On return the signal is on its way. A kernel that has ended already is no error: nothing happens, and nobody
    else is signalled, even if its process id has been given to another process.

    Args:
        handle: the kernel.
        signum: the signal's number.
        restart: whether a restart is the reason.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's.
        ProvisionerError: the place cannot deliver this signal.
    """


@hookspec
async def kernelyard_kill(handle: KernelHandle, restart: bool) -> None:
    """End the kernel and its children irresistibly.

    On return the kernel no longer runs and `poll` says how it ended. A kernel that has ended already is no error.

    Args:
        handle: the kernel.
        restart: whether another kernel will be launched in its place.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's.
    """


@hookspec
async def kernelyard_cleanup(handle: KernelHandle, restart: bool) -> None:
    """Remove what is left of a kernel that has ended.

    On return nothing of it remains: no process of its group, no container, pod, secret, socket, port or file. With
    `restart=True` it may keep what the launch that follows uses again, and only that. It may be called any number
    of times, and for a kernel of which nothing is left.

    Args:
        handle: the kernel.
        restart: whether another kernel will be launched in its place.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's.
    """


# What a provisioner may offer besides -----------------------------------------------------------------------


@hookspec
async def kernelyard_wait(handle: KernelHandle) -> ExitStatus:
    """Return how the kernel ended, as soon as it has.

    Several callers may wait for the same kernel. Without this hook the core asks `poll` again and again.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's.
    """


@hookspec
async def kernelyard_attach(handle: KernelHandle) -> KernelHandle:
    """Do what this process needs to reach a kernel that another process launched, such as a port forward.

    Returns the handle with a connection that is true for this process.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's, or nothing of the kernel is left.
    """


@hookspec
async def kernelyard_discover() -> Sequence[KernelHandle]:
    """Return the handles of all kernels that this provisioner can find by marks of its own, running or ended."""


@hookspec
async def kernelyard_logs(handle: KernelHandle, tail: int) -> Sequence[str]:
    """Return the last lines that the kernel printed, oldest first, without line ends; also after it has ended.

    Args:
        handle: the kernel.
        tail: how many lines at most.

    Raises:
        UnknownHandleError: the handle is not one of this provisioner's.
    """


@hookspec
async def kernelyard_check() -> Mapping[str, JSONValue]:
    """Say whether the place can be used now, for `kernelyard provisioners`.

    Returns a mapping with `ok` (bool), and if known `version`, `detail` (what is there, or why it cannot be used)
    and `hint` (what to do). It does not raise because the place is out of order.
    """


@hookspec
async def kernelyard_plan(request: LaunchRequest) -> Mapping[str, JSONValue]:
    """Describe the launch that would happen, without doing anything, for `kernelyard plan`.

    Returns what the place would be given (a process's limits, a container's spec, a pod's manifest). Secrets are
    left out or masked. The key `not_enforced`, if there, lists the `resources` that this place cannot enforce.
    """


# Policies: called before a launch, one after the other ------------------------------------------------------


@hookspec
async def kernelyard_prepare(request: LaunchRequest) -> LaunchRequest:
    """Change a launch before it happens, or refuse it.

    Runs before `launch`, at a start and at each restart. Policies run one after the other, in the order of their
    entry points' names, each with what the one before it returned.

    Raises:
        LaunchRefusedError: the kernel must not be launched, and why.
    """


# Observers: told of what happened; what they raise is logged and changes nothing ----------------------------


@hookspec
async def kernelyard_on_launch(handle: KernelHandle) -> None:
    """Be told that a kernel was launched. It may not answer yet."""


@hookspec
async def kernelyard_on_exit(handle: KernelHandle, status: ExitStatus) -> None:
    """Be told that a kernel ended, whether by itself, by a signal, or because it was asked to."""


@hookspec
async def kernelyard_on_restart(handle: KernelHandle, status: ExitStatus | None) -> None:
    """Be told that a kernel was launched in the place of another.

    Args:
        handle: the new kernel.
        status: how the old one ended, or None if that is not known.
    """


@hookspec
async def kernelyard_on_cleanup(handle: KernelHandle, restart: bool) -> None:
    """Be told that what was left of a kernel was removed.

    Args:
        handle: the kernel.
        restart: whether another kernel will be launched in its place.
    """
