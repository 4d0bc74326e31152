"""Where a client's kernel is: the connection's fields as attributes that can be set until the channels start."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from kernelyard.connection import read_connection_file, write_connection_file
from kernelyard.types import ConnectionInfo
from kernelyard.wire.session import Session

__all__ = ["Endpoint"]


class Endpoint:
    """The address and the keys of a kernel.

    Args:
        connection_file: the path of a connection file; it is read when the channels start, unless the ports are
            known by then.
        connection: the whole connection; the arguments after it replace some of its fields.
        session: writes and signs the messages; by default a new one.
        transport: "tcp" or "ipc".
        ip: the address, or for ipc the common beginning of the sockets' paths.
        shell_port: the port, or for ipc the number that ends the socket's path. 0 = not known. So the others.
        iopub_port: as above.
        stdin_port: as above.
        control_port: as above.
        hb_port: as above.
        key: the key of the signatures.
        signature_scheme: "hmac-" and the name of a hash function of hashlib.
        curve_publickey: CurveZMQ public key in Z85, or None for plain sockets.
        curve_secretkey: CurveZMQ secret key in Z85, or None for plain sockets.
        kernel_name: the kernelspec's name.

    Raises:
        ValueError: a field has an impossible value.
    """

    def __init__(
        self,
        *,
        connection_file: str | os.PathLike[str] | None = None,
        connection: ConnectionInfo | None = None,
        session: Session | None = None,
        transport: Literal["tcp", "ipc"] | None = None,
        ip: str | None = None,
        shell_port: int | None = None,
        iopub_port: int | None = None,
        stdin_port: int | None = None,
        control_port: int | None = None,
        hb_port: int | None = None,
        key: bytes | str | None = None,
        signature_scheme: str | None = None,
        curve_publickey: bytes | str | None = None,
        curve_secretkey: bytes | str | None = None,
        kernel_name: str | None = None,
    ) -> None:
        self.connection_file = "" if connection_file is None else os.fspath(connection_file)
        self.session = Session() if session is None else session
        base = ConnectionInfo() if connection is None else connection
        if session is not None and connection is None:
            base = ConnectionInfo(key=session.key.decode(), signature_scheme=session.signature_scheme)
        given = {
            "transport": transport,
            "ip": ip,
            "shell_port": shell_port,
            "iopub_port": iopub_port,
            "stdin_port": stdin_port,
            "control_port": control_port,
            "hb_port": hb_port,
            "key": key,
            "signature_scheme": signature_scheme,
            "curve_publickey": curve_publickey,
            "curve_secretkey": curve_secretkey,
            "kernel_name": kernel_name,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        self._adopt(ConnectionInfo.from_dict({**base.to_dict(), **changes}))

    def _adopt(self, connection: ConnectionInfo) -> None:
        self.transport: Literal["tcp", "ipc"] = connection.transport
        self.ip = connection.ip
        self.shell_port = connection.shell_port
        self.iopub_port = connection.iopub_port
        self.stdin_port = connection.stdin_port
        self.control_port = connection.control_port
        self.hb_port = connection.hb_port
        self.kernel_name = connection.kernel_name
        self.curve_publickey = connection.curve_publickey
        self.curve_secretkey = connection.curve_secretkey
        key = connection.key.encode()
        if (key, connection.signature_scheme) != (self.session.key, self.session.signature_scheme):
            self.session.signature_scheme = connection.signature_scheme
            self.session.key = key

    @property
    def connection(self) -> ConnectionInfo:
        """Where the kernel is, and the keys. Setting it sets all the fields."""
        return ConnectionInfo.from_dict({**self.get_connection_info(), "kernel_name": self.kernel_name})

    @connection.setter
    def connection(self, connection: ConnectionInfo) -> None:
        self._adopt(connection)

    @property
    def ports(self) -> list[int]:
        """The ports of shell, stdin, iopub, heartbeat and control, in this order."""
        return [self.shell_port, self.stdin_port, self.iopub_port, self.hb_port, self.control_port]

    def get_connection_info(self, session: bool = False) -> dict[str, Any]:
        """Return the connection as a dict, the key in it as bytes.

        Args:
            session: whether to put a clone of the session into it, under "session", instead of the key and the
                signature scheme.
        """
        info: dict[str, Any] = {
            "transport": self.transport,
            "ip": self.ip,
            "shell_port": self.shell_port,
            "iopub_port": self.iopub_port,
            "stdin_port": self.stdin_port,
            "hb_port": self.hb_port,
            "control_port": self.control_port,
        }
        if session:
            info["session"] = self.session.clone()
        else:
            info["signature_scheme"] = self.session.signature_scheme
            info["key"] = self.session.key
        if self.curve_publickey is not None and self.curve_secretkey is not None:
            info["curve_publickey"] = self.curve_publickey
            info["curve_secretkey"] = self.curve_secretkey
        return info

    def load_connection_info(self, info: Mapping[str, Any]) -> None:
        """Take over the content of a connection file. Fields that are not in it stay as they are.

        Raises:
            ValueError: a field has a wrong type or an impossible value. Then nothing is changed.
        """
        self._adopt(ConnectionInfo.from_dict({**self.connection.to_dict(), **info}))

    def load_connection_file(self, connection_file: str | os.PathLike[str] | None = None) -> None:
        """Read a connection file.

        Args:
            connection_file: its path; None = `self.connection_file`.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a connection file.
        """
        path = self.connection_file if connection_file is None else os.fspath(connection_file)
        self._adopt(read_connection_file(path))
        self.connection_file = path

    def write_connection_file(self) -> None:
        """Write the connection to `self.connection_file`; if that is empty, to a new file in Jupyter's directory.

        Raises:
            OSError: it cannot be written.
        """
        if not self.connection_file:
            from jupyter_core.paths import jupyter_runtime_dir

            self.connection_file = str(Path(jupyter_runtime_dir()) / f"kernel-{uuid.uuid4()}.json")
        write_connection_file(self.connection_file, self.connection)
