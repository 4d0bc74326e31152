"""The values that cross the seam between the core and a provisioner: frozen, and made of plain data.

A running kernel is a `KernelHandle`. Whoever can read one (it is JSON) can poll, signal, reach, kill or clean up
that kernel: a second manager, the command line, or the same manager after a crash.
"""

from __future__ import annotations

import dataclasses
import json
import signal as _signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NoReturn, TypeAlias

__all__ = [
    "CHANNELS",
    "Channel",
    "ConnectionInfo",
    "ExitReason",
    "ExitStatus",
    "JSONValue",
    "KernelHandle",
    "LaunchRequest",
    "Phase",
    "Resources",
]

JSONValue: TypeAlias = "bool | int | float | str | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
Channel: TypeAlias = Literal["shell", "iopub", "stdin", "control", "hb"]

#: The five channels of the Jupyter messaging protocol, in the order in which connection files name them.
CHANNELS: tuple[Channel, ...] = ("shell", "iopub", "stdin", "control", "hb")


class _FrozenDict(dict[str, Any]):
    """A dictionary that cannot be changed, and, unlike a MappingProxyType, can be copied and pickled."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this mapping is part of a frozen value")

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return _FrozenDict, (dict(self),)


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return _FrozenDict(mapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """Where a kernel's five channels are and how its messages are signed: the content of a connection file.

    The format is the one of https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files.
    The secrets (`key`, `curve_secretkey`) are not in the repr.

    Attributes:
        transport: "tcp" or "ipc".
        ip: the address to connect to; for ipc, the common beginning of the socket paths.
        shell_port: the port, or for ipc the number that ends the socket's path. 0 = not known yet. So the others.
        key: the HMAC key of the message signatures; empty = messages are not signed.
        signature_scheme: how messages are signed: "hmac-" and a name that hashlib knows.
        kernel_name: the kernelspec's name, for programs that read the file.
        curve_publickey: CurveZMQ public key in Z85, or None for plain sockets.
        curve_secretkey: CurveZMQ secret key in Z85, or None for plain sockets.
    """

    transport: Literal["tcp", "ipc"] = "tcp"
    ip: str = "127.0.0.1"
    shell_port: int = 0
    iopub_port: int = 0
    stdin_port: int = 0
    control_port: int = 0
    hb_port: int = 0
    key: str = field(default="", repr=False)
    signature_scheme: str = "hmac-sha256"
    kernel_name: str = ""
    curve_publickey: str | None = None
    curve_secretkey: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.transport not in ("tcp", "ipc"):
            raise ValueError(f"transport must be 'tcp' or 'ipc', got {self.transport!r}")
        for channel in CHANNELS:
            port = self.port(channel)
            if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:  # noqa: PLR2004
                raise ValueError(f"{channel}_port must be a number from 0 to 65535, got {port!r}")

    def port(self, channel: Channel) -> int:
        """Return the port (tcp) or the number (ipc) of `channel`; 0 if it is not known yet."""
        return int(getattr(self, f"{channel}_port"))

    @property
    def ports(self) -> dict[Channel, int]:
        """The port of every channel."""
        return {channel: self.port(channel) for channel in CHANNELS}

    @property
    def is_complete(self) -> bool:
        """Whether every channel has a port, so that a client can connect."""
        return all(self.ports.values())

    def url(self, channel: Channel) -> str:
        """Return the address of `channel` as ZeroMQ wants it."""
        if self.transport == "ipc":
            return f"ipc://{self.ip}-{self.port(channel)}"
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"tcp://{host}:{self.port(channel)}"

    def with_ports(self, ports: Mapping[Channel, int]) -> ConnectionInfo:
        """Return a copy with these ports; channels that are not named keep theirs."""
        return dataclasses.replace(self, **{f"{channel}_port": port for channel, port in ports.items()})  # type: ignore[arg-type]  # mypy cannot relate the built names to the fields

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a connection file. It holds the secrets."""
        content = dataclasses.asdict(self)
        if self.curve_publickey is None:
            del content["curve_publickey"], content["curve_secretkey"]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ConnectionInfo:
        """Read the content of a connection file; keys that are not known are passed over.

        Raises:
            ValueError: a field has a wrong type or an impossible value. The message names it.
        """
        known = {f.name: content[f.name] for f in dataclasses.fields(cls) if f.name in content}
        for name, value in known.items():
            if isinstance(value, bytes):
                value = known[name] = value.decode()  # noqa: PLW2901 - jupyter_client keeps keys as bytes
            if name in ("curve_publickey", "curve_secretkey") and value is None:
                continue
            if not name.endswith("_port") and not isinstance(value, str):
                raise ValueError(f"{name} must be a string, got {type(value).__name__}")
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a kernel may use, meant the same in every place. None = no limit.

    Attributes:
        cpus: processor cores, as a decimal number.
        memory: bytes at which the place stops the kernel.
        soft_memory: bytes at which the running cell is interrupted, so that the kernel's state survives.
        pids: processes and threads.
        gpus: graphics processors.
        network: "none" cuts the kernel off every network, "default" is what the place gives.
    """

    cpus: float | None = None
    memory: int | None = None
    soft_memory: int | None = None
    pids: int | None = None
    gpus: int | None = None
    network: str | None = None

    def asked(self) -> dict[str, float | int | str]:
        """Return what was asked for, without the fields that are None."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """All that a provisioner needs to know to start one kernel.

    Attributes:
        kernel_id: the kernel's id; also in the handle.
        provisioner: the name under which the provisioner was asked for.
        kernel_name: the kernelspec's name.
        argv: the command, complete but for `{connection_file}`, which `command()` fills in.
        env: environment variables that the kernelspec and the caller ask for. Values are not in the repr.
        inherit_env: whether the manager's own environment lies below `env`. Places other than this machine decide
            themselves what of it, if anything, they take.
        cwd: the directory to start in, or None for the place's default.
        connection: signing key, transport, and the ports that the caller configured; a port of 0 is the
            provisioner's to choose.
        connection_file: the path on the manager's machine where clients will look for the connection file.
        interrupt_mode: "signal" or "message", as the kernelspec says.
        settings: the provisioner's settings: site configuration, the kernelspec's `config` and the caller's
            `provisioner_config` merged, and validated if the provisioner declares traits. Not in the repr, since
            there may be secrets among them.
        resources: the limits asked for.
        independent: whether the kernel is meant to outlive the process of its manager.
        stdout: where the kernel's standard output goes, for provisioners that start a process of this machine:
            a file descriptor, a file object, or None for the provisioner's own log.
        stderr: the same for standard error.
        previous: the handle of the kernel that this one replaces, if this launch is part of a restart.
    """

    kernel_id: str
    provisioner: str = "local"
    kernel_name: str = ""
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    inherit_env: bool = True
    cwd: str | None = None
    connection: ConnectionInfo
    connection_file: str
    interrupt_mode: Literal["signal", "message"] = "signal"
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    resources: Resources = field(default_factory=Resources)
    independent: bool = False
    stdout: Any = None
    stderr: Any = None
    previous: KernelHandle | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "argv", tuple(self.argv))
        object.__setattr__(self, "env", _frozen(self.env))
        object.__setattr__(self, "settings", _frozen(self.settings))

    @property
    def restart(self) -> bool:
        """Whether this launch is part of a restart."""
        return self.previous is not None

    def command(self, connection_file: str | None = None) -> list[str]:
        """Return the command with the path of the connection file, as the kernel will see it, filled in.

        Args:
            connection_file: the path in the place where the kernel runs; by default `self.connection_file`.
        """
        path = self.connection_file if connection_file is None else connection_file
        return [part.replace("{connection_file}", path) for part in self.argv]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelHandle:
    """A running kernel, as a value.

    Attributes:
        provisioner: the name of the provisioner that can read `ref`.
        kernel_id: the kernel's id.
        ref: what the provisioner needs to find the kernel again (pid and start time; container id; pod uid).
        connection: where the channels are. It holds the key: keep a serialised handle as safe as a connection file.
        connection_file: the connection file on the manager's machine, or None.
        started: when it was launched, in seconds since the epoch.
    """

    provisioner: str
    kernel_id: str
    ref: Mapping[str, JSONValue]
    connection: ConnectionInfo
    connection_file: str | None = None
    started: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ref", _frozen(self.ref))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold. It includes the connection's secrets."""
        return {
            "provisioner": self.provisioner,
            "kernel_id": self.kernel_id,
            "ref": dict(self.ref),
            "connection": self.connection.to_dict(),
            "connection_file": self.connection_file,
            "started": self.started,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> KernelHandle:
        """Read what `to_dict` wrote.

        Raises:
            KeyError: a field is missing.
            ValueError: the connection in it is not valid.
        """
        return cls(
            provisioner=content["provisioner"],
            kernel_id=content["kernel_id"],
            ref=content["ref"],
            connection=ConnectionInfo.from_dict(content["connection"]),
            connection_file=content.get("connection_file"),
            started=float(content.get("started", 0.0)),
        )

    def to_json(self) -> str:
        """Return the handle as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> KernelHandle:
        """Read what `to_json` wrote; raises what `from_dict` raises, and ValueError if it is not JSON."""
        return cls.from_dict(json.loads(text))


class ExitReason(str, Enum):
    """Why a kernel ended, or could not be started."""

    CLEAN = "clean"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    OOM = "oom"
    STARTUP = "startup"
    IMAGE_PULL = "image_pull"
    UNSCHEDULABLE = "unschedulable"
    EVICTED = "evicted"
    PREEMPTED = "preempted"
    DEADLINE = "deadline"
    PORT_CONFLICT = "port_conflict"
    DELETED = "deleted"
    NODE_LOST = "node_lost"
    LOST = "lost"


class Phase(str, Enum):
    """How far a kernel had come when it ended."""

    PREPARING = "preparing"
    SCHEDULING = "scheduling"
    PULLING = "pulling"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


def signal_name(signum: int) -> str:
    """Return the name of a signal number, or the number itself where this platform has no name for it."""
    try:
        return _signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """How a kernel ended.

    Attributes:
        reason: the cause, as a word.
        exit_code: the exit code of the kernel's process, or None if a signal ended it or it is not known.
        signal: the number of the signal that ended it, or None.
        phase: how far it had come.
        output: the last lines that the kernel printed, oldest first, without line ends.
        events: what the platform said about it, oldest first.
        hint: what to do about it, as a sentence; empty if nothing is known.
    """

    reason: ExitReason
    exit_code: int | None = None
    signal: int | None = None
    phase: Phase = Phase.RUNNING
    output: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    hint: str = ""

    def describe(self) -> str:
        """Return one line: how it ended and in which phase."""
        if self.signal is not None:
            how = f"killed by {signal_name(self.signal)}"
        elif self.exit_code is not None:
            how = f"exited with code {self.exit_code}"
        else:
            how = "ended, and how is not known"
        told_by_how = (ExitReason.CLEAN, ExitReason.EXIT_CODE, ExitReason.SIGNAL, ExitReason.STARTUP)
        why = "" if self.reason in told_by_how else f" ({self.reason.value})"
        return f"{how}{why} while {self.phase.value}"

    def details(self) -> str:
        """Return the platform's events and the kernel's last lines, indented; empty if there are none."""
        lines = [f"  {event}" for event in self.events]
        if self.output:
            lines += ["The kernel's last lines:", *(f"  {line}" for line in self.output)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        content = dataclasses.asdict(self)
        content.update(
            reason=self.reason.value,
            phase=self.phase.value,
            output=list(self.output),
            events=list(self.events),
        )
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ExitStatus:
        """Read what `to_dict` wrote.

        Raises:
            KeyError: there is no reason in it.
            ValueError: the reason or the phase is not one of ours.
        """
        return cls(
            reason=ExitReason(content["reason"]),
            exit_code=content.get("exit_code"),
            signal=content.get("signal"),
            phase=Phase(content.get("phase", "running")),
            output=tuple(content.get("output", ())),
            events=tuple(content.get("events", ())),
            hint=content.get("hint", ""),
        )
