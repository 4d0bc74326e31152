"""Every error that kernelyard raises, in one tree.

::

    KernelyardError
    ├── KernelSpecError                 a kernelspec is missing or wrong
    │   ├── NoSuchKernel                (KeyError) no kernelspec of that name
    │   └── InvalidKernelSpecError      (ValueError) a kernel.json that cannot be used
    ├── ProvisionerError                a provisioner, or another plugin, cannot be used
    │   ├── ProvisionerNotFoundError    (KeyError) nothing of that name is installed
    │   ├── BrokenPluginError           it is installed, but cannot be loaded or breaks the contract
    │   ├── InvalidConfigError          (ValueError) a setting that it does not know, or of a wrong type
    │   └── UnknownHandleError          (LookupError) the handle names a kernel that it never saw
    ├── LaunchError                     (RuntimeError) the kernel could not be started
    │   ├── CommandNotFoundError        (FileNotFoundError) the kernel's command does not exist
    │   ├── PortConflictError           a port that the caller asked for is taken
    │   ├── LaunchRefusedError          a policy refused the launch
    │   ├── LaunchCancelledError        a shutdown came before the start was complete
    │   └── KernelStartError            the kernel ended before it answered
    ├── KernelDiedError                 (RuntimeError) the kernel ended while it was in use
    ├── ExecutionError                  (RuntimeError) code that was run raised an exception
    ├── KernelNotReadyError             (RuntimeError, TimeoutError) no answer in the time given
    ├── KernelStateError                (RuntimeError) misuse: not possible in the kernel's present state
    │   ├── KernelBusyError             another operation on this kernel is under way
    │   ├── KernelNotRunningError       there is no kernel to do it to
    │   └── KernelNotOwnedError         the kernel belongs to another manager
    ├── DuplicateKernelError            (ValueError) a multi-kernel manager has that kernel id already
    ├── UnknownKernelError              (KeyError) a multi-kernel manager has no kernel of that id
    └── MessageError                    (ValueError) a message that is not what the protocol allows
        ├── MalformedMessageError       not a message at all, or too large
        └── InvalidSignatureError       wrong, missing or replayed signature
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from kernelyard.types import ExitStatus
    from kernelyard.wire.result import ExecutionResult

__all__ = [
    "BrokenPluginError",
    "CommandNotFoundError",
    "DuplicateKernelError",
    "ExecutionError",
    "InvalidConfigError",
    "InvalidKernelSpecError",
    "InvalidSignatureError",
    "KernelBusyError",
    "KernelDiedError",
    "KernelNotOwnedError",
    "KernelNotReadyError",
    "KernelNotRunningError",
    "KernelSpecError",
    "KernelStartError",
    "KernelStateError",
    "KernelyardError",
    "LaunchCancelledError",
    "LaunchError",
    "LaunchRefusedError",
    "MalformedMessageError",
    "MessageError",
    "NoSuchKernel",
    "PortConflictError",
    "ProvisionerError",
    "ProvisionerNotFoundError",
    "UnknownHandleError",
    "UnknownKernelError",
]


class Whose(TypedDict, total=False):
    """Which kernel an error is about: arguments of `KernelyardError`."""

    kernel_id: str | None
    provisioner: str | None


class KernelyardError(Exception):
    """Base of every error that kernelyard raises.

    Args:
        message: what was tried and what happened.
        kernel_id: the kernel that it happened to, if there is one.
        provisioner: the name of the provisioner in charge, if there is one.
        hint: what to do about it, as a sentence; empty if nothing is known.
        exit_status: how the kernel ended, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        kernel_id: str | None = None,
        provisioner: str | None = None,
        hint: str = "",
        exit_status: ExitStatus | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kernel_id = kernel_id
        self.provisioner = provisioner
        self.hint = hint
        self.exit_status = exit_status

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error travel to another process."""
        return _rebuilt, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """The message, then the kernel's last lines if it ended, then the hint: all that a person needs."""
        parts = [self.message]
        if self.exit_status is not None:
            parts += [line for line in (self.exit_status.details(),) if line]
        hint = self.hint or (self.exit_status.hint if self.exit_status is not None else "")
        if hint:
            parts.append(hint)
        return "\n".join(parts)


def _rebuilt(kind: type[KernelyardError], args: tuple[Any, ...], state: dict[str, Any]) -> KernelyardError:
    # `kind.__new__` would be that of the first built-in base, which may not be the one that made the object.
    error = (OSError if issubclass(kind, OSError) else Exception).__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class KernelSpecError(KernelyardError):
    """A kernelspec is missing or wrong."""


class NoSuchKernel(KernelSpecError, KeyError):  # noqa: N818 - the name programs catch
    """No kernelspec of that name was found.

    Args:
        name: the name that was asked for.
        message: what was tried; by default only that there is none.
        hint: the names that exist and the nearest match.
    """

    def __init__(self, name: str, message: str | None = None, *, hint: str = "") -> None:
        super().__init__(message or f"No such kernel named {name}", hint=hint)
        self.name = name


class InvalidKernelSpecError(KernelSpecError, ValueError):
    """A kernel.json cannot be used: not JSON, no argv, a wrong type."""


class ProvisionerError(KernelyardError):
    """A provisioner or another plugin cannot be used."""


class ProvisionerNotFoundError(ProvisionerError, KeyError):
    """A kernelspec names a provisioner that is not installed."""


class BrokenPluginError(ProvisionerError):
    """A plugin is installed, but cannot be loaded, or does not keep the contract of the hooks."""


class InvalidConfigError(ProvisionerError, ValueError):
    """A provisioner was given a setting that it does not know, that is locked, or of a wrong type."""


class UnknownHandleError(ProvisionerError, LookupError):
    """A handle names a kernel that the provisioner has never seen, or that another kind of place holds."""


class LaunchError(KernelyardError, RuntimeError):
    """The kernel could not be started."""


class CommandNotFoundError(LaunchError, FileNotFoundError):
    """The command that the kernelspec names does not exist or cannot be executed."""

    def __init__(self, message: str, *, command: str, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # the base's own keywords, passed through
        self.errno = errno.ENOENT
        self.filename = command


class PortConflictError(LaunchError):
    """A port that the caller asked for is used by somebody else."""


class LaunchRefusedError(LaunchError):
    """A policy plugin refused the launch."""


class LaunchCancelledError(LaunchError):
    """A shutdown or a kill came before the start was complete; nothing of the start is left."""


class KernelStartError(LaunchError):
    """The kernel ended before it answered; `exit_status` says how, with its last lines."""


class KernelDiedError(KernelyardError, RuntimeError):
    """The kernel ended while somebody was using it; `exit_status` says how."""


class ExecutionError(KernelyardError, RuntimeError):
    """Code that was run with `raise_on_error=True` raised an exception in the kernel.

    Args:
        message: the exception's name and value.
        result: all that came of the code, the traceback included.
    """

    def __init__(self, message: str, *, result: ExecutionResult) -> None:
        super().__init__(message)
        self.result = result


class KernelNotReadyError(KernelyardError, RuntimeError, TimeoutError):
    """The kernel runs, but did not answer in the time given."""


class KernelStateError(KernelyardError, RuntimeError):
    """The operation is not possible in the kernel's present state."""


class KernelBusyError(KernelStateError):
    """Another operation on this kernel (a start, a restart, a shutdown) is under way."""


class KernelNotRunningError(KernelStateError):
    """There is no running kernel to do it to."""


class KernelNotOwnedError(KernelStateError):
    """The kernel belongs to another manager, and this operation is its owner's."""


class DuplicateKernelError(KernelyardError, ValueError):
    """A multi-kernel manager already has a kernel of that id."""


class UnknownKernelError(KernelyardError, KeyError):
    """A multi-kernel manager has no kernel of that id."""


class MessageError(KernelyardError, ValueError):
    """A message is not what the protocol allows."""


class MalformedMessageError(MessageError):
    """Frames that are not a Jupyter message, or one beyond the limits."""


class InvalidSignatureError(MessageError):
    """A message whose signature is wrong, missing, or was seen before (a replay)."""
