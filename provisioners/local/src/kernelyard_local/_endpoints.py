"""Where a local kernel's channels are: reserved ports of this machine, or socket files."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernelyard.connection import SOCKET_PATH_LIMIT, free_ipc_numbers, ipc_paths, reserve_ports
from kernelyard.errors import LaunchError, PortConflictError
from kernelyard.types import Channel, ConnectionInfo, LaunchRequest

__all__ = ["endpoints"]

_EVERY_ADDRESS = ("", "*", "0.0.0.0", "::")  # noqa: S104 - recognised here, not bound to


@contextmanager
def endpoints(request: LaunchRequest) -> Iterator[tuple[ConnectionInfo, tuple[int, ...]]]:
    """Decide where the channels are, and hold the ports while the kernel is started.

    Yields:
        The complete connection, and the file descriptors that the kernel must inherit to keep its ports.

    Raises:
        PortConflictError: a port or a socket that was asked for is taken.
        LaunchError: the address is not one of this machine, or the path of a socket is too long.
    """
    connection = request.connection
    if connection.transport == "ipc":
        yield _ipc(connection, request.connection_file), ()
        return
    _refuse_foreign(connection.ip)
    with reserve_ports(connection.ip, connection.ports) as reservation:
        inherited = reservation.filenos
        if not inherited:
            # Here a kernel cannot bind to a port that is held: between now and then somebody else may take it.
            reservation.close()
        yield connection.with_ports(reservation.ports), inherited


def _refuse_foreign(ip: str) -> None:
    if ip in _EVERY_ADDRESS:
        return
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((ip, 0))
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and not isinstance(
            error, socket.gaierror
        ):
            return  # no port is free, for one: a question of its own
        raise LaunchError(
            f"The kernel would have to listen on {ip!r}, which is not an address of this machine.",
            hint="Set `ip` to 127.0.0.1 or another address of this machine. A kernel elsewhere needs a provisioner "
            "for that place.",
        ) from error


def _ipc(connection: ConnectionInfo, connection_file: str) -> ConnectionInfo:
    connection = connection.with_ports(_ipc_numbers(connection))
    longest = max((str(path) for path in ipc_paths(connection)), key=lambda path: len(os.fsencode(path)))
    if len(os.fsencode(longest)) > SOCKET_PATH_LIMIT:
        raise LaunchError(
            f"The socket's path {longest} has {len(os.fsencode(longest))} bytes; this system allows "
            f"{SOCKET_PATH_LIMIT}.",
            hint='Set `ip` to a shorter prefix, point JUPYTER_RUNTIME_DIR to a shorter path, or use transport="tcp".',
        )
    if not Path(connection.ip).is_absolute():
        raise LaunchError(
            f"The socket's path {longest} is not absolute: the kernel and its clients may look in different places.",
            hint=f"Set `ip` to an absolute prefix, such as {Path(connection_file).absolute().with_suffix('')}-ipc.",
        )
    Path(connection.ip).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in ipc_paths(connection):
        if _somebody_listens(path):
            raise PortConflictError(
                f"The socket {path} is in use by another program.",
                hint="End that program, or set `ip` to another prefix.",
            )
        path.unlink(missing_ok=True)
    return connection


def _ipc_numbers(connection: ConnectionInfo) -> dict[Channel, int]:
    """A number for each channel that has none, beside those that were asked for."""
    wanted = connection.ports
    unused = [number for number in range(1, 2 * len(wanted) + 1) if number not in wanted.values()]
    defaults = free_ipc_numbers()
    if all(number == 0 or number == defaults[channel] for channel, number in wanted.items()):
        return defaults
    return {channel: number or unused.pop(0) for channel, number in wanted.items()}


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # its queue is full: somebody is there
            return True
        except OSError:
            return False
        return True
