"""Keys, ports and connection files: functions that make a `ConnectionInfo`, write it and read it.

Ports of a local kernel are *reserved*: a socket is bound to each, never listens, and is inherited by the kernel's
process. On Linux a kernel's ZeroMQ can bind beside such a socket, since both set SO_REUSEADDR and neither listens,
while nobody else is given the port; so the ports are known before the kernel runs, and stay true. The reservation
ends with the process, by itself. docs/explanation/ports.md has the measurements.
"""

from __future__ import annotations

import errno
import json
import os
import random
import secrets
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelyard.errors import PortConflictError
from kernelyard.types import CHANNELS, Channel, ConnectionInfo

__all__ = [
    "CONNECTION_FILE_LIMIT",
    "SOCKET_PATH_LIMIT",
    "PortReservation",
    "find_connection_file",
    "free_ipc_numbers",
    "ipc_paths",
    "ipc_prefix",
    "is_loopback",
    "new_curve_keys",
    "new_key",
    "read_connection_file",
    "remove_connection_file",
    "reserve_ports",
    "tells_of_port_conflict",
    "write_connection_file",
]

#: Bytes that a connection file may have at most: they have some 500, and the file may come from a kernel.
CONNECTION_FILE_LIMIT = 65536

#: Whether a kernel can bind to a port that a bound, not listening socket holds.
RESERVES_PORTS = sys.platform == "linux"

#: Bytes that the path of a socket may have: what sun_path holds, without the zero at its end.
SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103

#: How the directories begin that are made for sockets.
_IPC_DIRECTORY = "kernelyard-ipc-"

_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")


def new_key() -> str:
    """Return a new random key for the signatures of messages: 128 bits, as hexadecimal text."""
    return secrets.token_hex(16)


def new_curve_keys() -> tuple[str, str]:
    """Return a new CurveZMQ key pair, public and secret, in Z85.

    Raises:
        zmq.ZMQError: this libzmq was built without CURVE.
    """
    import zmq

    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


class PortReservation:
    """Ports of this machine that nobody else can get while this object, or a process that inherited it, holds them.

    Use as a context manager: leaving it closes this process's sockets; what a child inherited stays reserved.

    Attributes:
        ports: the port of each channel.
    """

    def __init__(self, sockets: Mapping[Channel, socket.socket]) -> None:
        self._sockets = dict(sockets)
        self.ports: dict[Channel, int] = {c: s.getsockname()[1] for c, s in self._sockets.items()}

    @property
    def filenos(self) -> tuple[int, ...]:
        """File descriptors to pass to the kernel's process; none where the platform does not allow sharing them."""
        return tuple(s.fileno() for s in self._sockets.values()) if RESERVES_PORTS else ()

    def close(self) -> None:
        """Close this process's part of the reservation. May be called twice."""
        while self._sockets:
            self._sockets.popitem()[1].close()

    def __enter__(self) -> PortReservation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reserve_ports(ip: str, wanted: Mapping[Channel, int]) -> PortReservation:
    """Reserve a port for each channel.

    Args:
        ip: the address to bind to.
        wanted: for each channel its port, or 0 for any free one.

    Raises:
        PortConflictError: a port that was asked for is taken, or no port is free at all.
    """
    sockets: dict[Channel, socket.socket] = {}
    try:
        # Configured ports first, so that no other channel is given one of them by chance.
        for channel in sorted(wanted, key=lambda c: wanted[c] == 0):
            sockets[channel] = _reserve(ip, wanted[channel], channel)
    except BaseException:
        for held in sockets.values():
            held.close()
        raise
    return PortReservation(sockets)


def _reserve(ip: str, port: int, channel: Channel) -> socket.socket:
    if port:
        try:
            return _bind(ip, port)
        except OSError as error:
            raise PortConflictError(
                f"Port {port} on {ip or '*'} was asked for as {channel}_port, and cannot be had: {error.strerror}.",
                hint=f"Free port {port}, or leave {channel}_port at 0 to have a free one chosen.",
            ) from error
    failure: OSError | None = None
    for candidate in _candidates():
        try:
            return _bind(ip, candidate)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise PortConflictError(
                    f"Cannot listen on address {ip!r} for {channel}: {error.strerror}.",
                    hint="Set `ip` to an address of this machine.",
                ) from error
            failure = error
    raise PortConflictError(
        f"No free TCP port on {ip} for {channel}.",
        hint='See who holds them (`ss -tan`), or use transport="ipc", which needs none.',
    ) from failure


def _candidates() -> Iterator[int]:
    """Ports to try: one that the system picks; and, when all of those are in use, random ones outside that range."""
    yield 0
    outside = [p for p in range(1024, 65536) if p not in _ephemeral_range()]
    yield from random.sample(outside, min(len(outside), 4096))


def _ephemeral_range() -> range:
    with suppress(OSError, ValueError):
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return range(int(low), int(high) + 1)
    return range(49152, 65536)  # the dynamic ports of RFC 6335


def _bind(ip: str, port: int) -> socket.socket:
    held = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port and sys.platform != "win32":
            # A restarted kernel's port has connections in TIME_WAIT: without this they would keep it taken.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("" if ip == "*" else ip, port))
        if RESERVES_PORTS:
            # Only now, after an exclusive bind: a port chosen by the system is never another reservation's.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except BaseException:
        held.close()
        raise
    return held


def ipc_paths(connection: ConnectionInfo) -> list[Path]:
    """Return the socket files of an ipc connection; none for tcp."""
    if connection.transport != "ipc":
        return []
    return [Path(f"{connection.ip}-{port}") for port in connection.ports.values() if port]


def ipc_prefix(connection_file: str | os.PathLike[str]) -> str:
    """Return the beginning of the socket paths of a new ipc connection. Nothing is made yet.

    They lie beside the connection file, as jupyter_client's do; where that path is too long for a socket, in a
    directory of their own for temporary files, which whoever makes the sockets makes with mode 0700.
    """
    beside = str(Path(connection_file).absolute().with_suffix("")) + "-ipc"
    if len(os.fsencode(beside)) + len("-5") <= SOCKET_PATH_LIMIT:
        return beside
    return str(Path(tempfile.gettempdir(), f"{_IPC_DIRECTORY}{secrets.token_hex(8)}", "ipc"))


def write_connection_file(path: str | os.PathLike[str], connection: ConnectionInfo, **more: Any) -> None:
    """Write a connection file that only its owner can read, all at once: a reader sees the old one or the new one.

    Args:
        path: where; the directory is made if it is missing.
        connection: what to write.
        **more: further keys to write beside the connection's own.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({**connection.to_dict(), **more}, file, indent=2)
        Path(temporary).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def read_connection_file(path: str | os.PathLike[str]) -> ConnectionInfo:
    """Read a connection file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a connection file. The message names the file and what is wrong.
    """
    with Path(path).open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path} is not a connection file: it is not a regular file")
        text = file.read(CONNECTION_FILE_LIMIT + 1)
    if len(text) > CONNECTION_FILE_LIMIT:
        raise ValueError(f"{path} is not a connection file: it has more than {CONNECTION_FILE_LIMIT} bytes")
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, got {type(content).__name__}")  # noqa: TRY004 - all is bad content
        return ConnectionInfo.from_dict(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a connection file: {error}") from error


def remove_connection_file(
    path: str | os.PathLike[str] | None, connection: ConnectionInfo | None = None
) -> None:
    """Remove a connection file, and the socket files of an ipc connection. What is gone already is no error."""
    paths = [] if connection is None else ipc_paths(connection)
    if path is not None:
        paths.append(Path(path))
    for each in paths:
        with suppress(FileNotFoundError):
            each.unlink()
    if connection is not None and connection.transport == "ipc":
        directory = Path(connection.ip).parent
        if directory.name.startswith(_IPC_DIRECTORY):
            with suppress(OSError):  # gone already, or not empty: then it is not only ours
                directory.rmdir()


def find_connection_file(name: str | None = None, path: str | None = None) -> str:
    """Find a connection file, as `jupyter console --existing` does.

    Args:
        name: a file name, a part of one (such as a kernel id), a pattern, or a path; None = the newest.
        path: the directory to look in; by default the current directory and Jupyter's runtime directory.

    Returns:
        The absolute path; of several that fit, the one changed last.

    Raises:
        OSError: there is none.
    """
    if path is None:
        from jupyter_core.paths import jupyter_runtime_dir

        directories = [Path(), Path(jupyter_runtime_dir())]
    else:
        directories = [Path(path)]
    name = "kernel-*.json" if name is None else name
    for directory in directories:
        exact = directory / name
        if exact.is_file():
            return str(exact.absolute())
    pattern = name if "*" in name else f"*{name}*"
    found = [
        f for d in directories if not Path(pattern).is_absolute() for f in d.glob(pattern) if f.is_file()
    ]
    if not found:
        raise OSError(
            errno.ENOENT,
            f"no connection file {name!r} in {', '.join(str(d.absolute()) for d in directories)}",
        )
    return str(max(found, key=lambda f: f.stat().st_mtime).absolute())


def is_loopback(ip: str) -> bool:
    """Return whether an address is reachable from this machine only."""
    return ip in _LOOPBACK or ip.startswith("127.")


def free_ipc_numbers() -> dict[Channel, int]:
    """Return the numbers that end the socket paths of an ipc connection: one to five, in the channels' order."""
    return {channel: number for number, channel in enumerate(CHANNELS, start=1)}


def tells_of_port_conflict(output: Sequence[str]) -> bool:
    """Return whether a kernel's last lines say that it could not bind to a port.

    Args:
        output: the lines, oldest first. The cause is looked for in the last ten: what a kernel that came up printed
            long before its end is no cause of it.
    """
    return any("address already in use" in line.lower() for line in output[-10:])
