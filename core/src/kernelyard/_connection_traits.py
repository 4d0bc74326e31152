"""What a kernel manager knows about its kernel's channels: traits, and the operations of jupyter_client on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Any as AnyTrait
from traitlets import CaselessStrEnum, Instance, Integer, Unicode, default, observe
from traitlets.config import LoggingConfigurable

from kernelyard import connection as files
from kernelyard.types import CHANNELS, Channel, ConnectionInfo

if TYPE_CHECKING:
    import zmq

    from kernelyard.wire.session import Session

__all__ = ["ConnectionTraits"]


class ConnectionTraits(LoggingConfigurable):
    """The connection of one kernel: configured by traits, completed by the launch.

    A port that is not 0 before the launch is one that the caller asks for: it is used, or refused with a reason.
    After the launch the traits say where the channels are.
    """

    transport = CaselessStrEnum(
        ["tcp", "ipc"],
        default_value="tcp",
        help='How the channels are reached: "tcp" or "ipc" (socket files).',
    ).tag(config=True)
    ip = Unicode(
        help="The address that the kernel listens on; for ipc, the beginning of its sockets' paths. Default: "
        "127.0.0.1, and for ipc a path beside the connection file."
    ).tag(config=True)
    shell_port = Integer(0, help="Port of the shell channel; 0 = a free one.").tag(config=True)
    iopub_port = Integer(0, help="Port of the iopub channel; 0 = a free one.").tag(config=True)
    stdin_port = Integer(0, help="Port of the stdin channel; 0 = a free one.").tag(config=True)
    control_port = Integer(0, help="Port of the control channel; 0 = a free one.").tag(config=True)
    hb_port = Integer(0, help="Port of the heartbeat channel; 0 = a free one.").tag(config=True)
    connection_file = Unicode(
        "", help="Path of the connection file. Default: kernel-<id>.json in Jupyter's runtime directory."
    ).tag(config=True)
    transport_encryption = CaselessStrEnum(
        ["disabled", "auto", "required"],
        default_value="disabled",
        help='CurveZMQ encryption: "required" refuses a kernel whose kernelspec does not declare that it can, "auto" '
        "uses it where the kernelspec declares it.",
    ).tag(config=True)
    curve_publickey = Instance(bytes, allow_none=True, help="CurveZMQ public key (Z85); made when needed.")
    curve_secretkey = Instance(bytes, allow_none=True, help="CurveZMQ secret key (Z85); made when needed.")
    session = AnyTrait(help="Signs and builds messages; its key is the connection's key.")

    def __init__(self, *, context: zmq.Context[Any] | None = None, **kwargs: Any) -> None:
        self._context = context
        #: Whether the connection file is ours to remove.
        self._wrote_file = False
        #: Whether the context was made here, and ends with the kernel.
        self._owns_context = False
        super().__init__(**kwargs)

    @default("ip")
    def _default_ip(self) -> str:
        return "127.0.0.1" if self.transport == "tcp" else ""

    @observe("ip")
    def _any_address(self, change: dict[str, Any]) -> None:
        if change["new"] == "*":
            self.ip = "0.0.0.0"  # noqa: S104 - what the caller asked for with "*"

    @default("session")
    def _default_session(self) -> Session:
        from kernelyard.wire.session import Session

        configured = self.config.get("Session", {})
        key = configured.get("key", files.new_key())
        return Session(
            key=key.encode() if isinstance(key, str) else bytes(key),
            username=configured.get("username"),
            signature_scheme=configured.get("signature_scheme", "hmac-sha256"),
        )

    @property
    def context(self) -> zmq.Context[Any]:
        """The ZeroMQ context of this manager's sockets and clients: the one it was given, or made at the first use."""
        if self._context is None or self._context.closed:
            import zmq

            self._context, self._owns_context = zmq.Context(), True
        return self._context

    @context.setter
    def context(self, context: zmq.Context[Any]) -> None:
        self._context, self._owns_context = context, False

    @property
    def ports(self) -> list[int]:
        """The ports of shell, iopub, stdin, heartbeat and control, in jupyter_client's order; 0 = not known yet."""
        return [self.shell_port, self.iopub_port, self.stdin_port, self.hb_port, self.control_port]

    @property
    def connection(self) -> ConnectionInfo:
        """The connection as a value. It holds the secrets."""
        return ConnectionInfo(
            transport=self.transport,
            ip=self.ip,
            key=self.session.key.decode(),
            signature_scheme=self.session.signature_scheme,
            kernel_name=getattr(self, "kernel_name", ""),
            curve_publickey=None if self.curve_publickey is None else self.curve_publickey.decode(),
            curve_secretkey=None if self.curve_secretkey is None else self.curve_secretkey.decode(),
        ).with_ports({channel: getattr(self, f"{channel}_port") for channel in CHANNELS})

    @connection.setter
    def connection(self, connection: ConnectionInfo) -> None:
        self.transport = connection.transport
        self.ip = connection.ip
        for channel, port in connection.ports.items():
            setattr(self, f"{channel}_port", port)
        self.session.signature_scheme = connection.signature_scheme
        self.session.key = connection.key.encode()
        for name in ("curve_publickey", "curve_secretkey"):
            value = getattr(connection, name)
            setattr(self, name, None if value is None else value.encode())

    def get_connection_info(self, session: bool = False) -> dict[str, Any]:
        """Return where the channels are, as a dictionary with a connection file's keys.

        Args:
            session: whether to give, instead of the key, a session that signs with it.

        Returns:
            The connection. `key` is bytes, as in jupyter_client.
        """
        connection = self.connection
        info: dict[str, Any] = {"transport": connection.transport, "ip": connection.ip}
        info.update({f"{channel}_port": port for channel, port in connection.ports.items()})
        if connection.curve_publickey is not None:
            info.update(
                curve_publickey=connection.curve_publickey, curve_secretkey=connection.curve_secretkey
            )
        if session:
            info["session"] = self.session.clone()
        else:
            info.update(signature_scheme=connection.signature_scheme, key=self.session.key)
        return info

    def load_connection_info(self, info: dict[str, Any]) -> None:
        """Take over a connection from a dictionary such as `get_connection_info` returns.

        Ports and the like that are in it replace those of the traits; what is not in it stays.

        Raises:
            ValueError: a field has a wrong type or an impossible value.
        """
        session = info.get("session")
        known = {
            **self.connection.to_dict(),
            **{k: v for k, v in info.items() if k != "session" and v is not None},
        }
        self.connection = ConnectionInfo.from_dict(known)
        if session is not None:
            self.session = session

    def load_connection_file(self, connection_file: str | None = None) -> None:
        """Take over the connection of a connection file.

        Args:
            connection_file: the path; by default the trait's.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a connection file.
        """
        path = self.connection_file if connection_file is None else connection_file
        connection = files.read_connection_file(path)
        self.connection_file = os.fspath(path)
        self.connection = connection
        if connection.kernel_name and self.has_trait("kernel_name"):
            self.set_trait("kernel_name", connection.kernel_name)

    def write_connection_file(self, **kwargs: Any) -> None:
        """Write the connection file, readable by its owner only. Ports that are not known yet are chosen.

        Args:
            **kwargs: further keys to write into the file.

        Raises:
            OSError: it cannot be written.
            PortConflictError: a port that was asked for is taken.
        """
        self._complete_connection_file()
        if not self.connection.is_complete:
            wanted = self.connection.ports
            if self.transport == "ipc":
                chosen = {c: port or files.free_ipc_numbers()[c] for c, port in wanted.items()}
            else:
                with files.reserve_ports(self.ip, wanted) as reservation:
                    chosen = reservation.ports
            self.connection = self.connection.with_ports(chosen)
        files.write_connection_file(self.connection_file, self.connection, **kwargs)
        self._wrote_file = True

    def cleanup_connection_file(self) -> None:
        """Remove the connection file, and for ipc the socket files. What is gone already is no error."""
        files.remove_connection_file(self.connection_file or None, self.connection)

    def cleanup_ipc_files(self) -> None:
        """Remove the socket files of an ipc connection. What is gone already is no error."""
        files.remove_connection_file(None, self.connection)

    def cleanup_random_ports(self) -> None:
        """Forget the ports, so that the next launch chooses new ones."""
        for channel in CHANNELS:
            setattr(self, f"{channel}_port", 0)

    def connect_shell(self, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to the shell channel; closing it is the caller's part.

        Args:
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self._connect("shell", identity)

    def connect_iopub(self, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected and subscribed to the iopub channel; closing it is the caller's part.

        Args:
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self._connect("iopub", identity)

    def connect_stdin(self, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to the stdin channel; closing it is the caller's part.

        Args:
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self._connect("stdin", identity)

    def connect_control(self, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to the control channel; closing it is the caller's part.

        Args:
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self._connect("control", identity)

    def connect_hb(self, identity: bytes | None = None) -> zmq.Socket[Any]:
        """Return a new socket, connected to the heartbeat channel; closing it is the caller's part.

        Args:
            identity: the socket's ZeroMQ identity, or None for a random one.
        """
        return self._connect("hb", identity)

    def _connect(self, channel: Channel, identity: bytes | None) -> zmq.Socket[Any]:
        import zmq

        from kernelyard.wire.sockets import connect

        kind = (
            zmq.REQ if channel == "hb" else None
        )  # what programs written for jupyter_client send and receive on
        return connect(self._socket_context(), self.connection, channel, identity, kind=kind)

    def _socket_context(self) -> zmq.Context[Any]:
        """The context of the sockets that connect_*() return."""
        return self.context

    def _complete_connection_file(self, kernel_id: str | None = None) -> None:
        """Decide on the path of the connection file, and for ipc on the sockets' beginning."""
        if not self.connection_file:
            import uuid

            from jupyter_core.paths import jupyter_runtime_dir

            directory = getattr(self, "connection_dir", "") or jupyter_runtime_dir()
            self.connection_file = str(Path(directory, f"kernel-{kernel_id or uuid.uuid4()}.json"))
        self.connection_file = str(Path(self.connection_file).absolute())
        if self.transport == "ipc" and not self.ip:
            self.ip = files.ipc_prefix(self.connection_file)

    def _close_context(self) -> None:
        """End the context that was made here; a later use makes a new one."""
        if self._owns_context and self._context is not None:
            context, self._context = self._context, None
            self._owns_context = False
            context.destroy(linger=0)

    def __del__(self) -> None:
        # One that never had a kernel, or whose kernel was left alone, has nobody else to end its context.
        if getattr(self, "_owns_context", False):
            self._close_context()
