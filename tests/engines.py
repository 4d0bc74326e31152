"""Which engines these tests can reach, and which must be there: KERNELYARD_REQUIRE, such as "docker,k8s"."""

from __future__ import annotations

import http.client
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["left_out", "missing_but_required", "reason_for_no"]

#: Seconds that an engine has to answer.
PATIENCE = 5.0


def reason_for_no(engine: str) -> str | None:
    """Return why an engine ("docker", "k8s") cannot be reached, or None if it can."""
    try:
        {"docker": _ask_docker, "k8s": _ask_kubernetes}[engine]()
    except KeyError:
        return f"there is no engine {engine!r}; there are docker and k8s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None


def required() -> list[str]:
    return [name for name in os.environ.get("KERNELYARD_REQUIRE", "").replace(" ", "").split(",") if name]


def missing_but_required() -> str:
    """Return what to say if an engine that KERNELYARD_REQUIRE names cannot be reached; empty if all can."""
    reasons = {name: reason_for_no(name) for name in required()}
    return "; ".join(f"KERNELYARD_REQUIRE asks for {n}, and: {why}" for n, why in reasons.items() if why)


def left_out() -> list[str]:
    """Return a line for each engine that cannot be reached, so that its tests are left out."""
    return [f"left out: the tests with {n}: {why}" for n in ("docker", "k8s") if (why := reason_for_no(n))]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def _ask_docker() -> None:
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    url = urlsplit(host)
    if url.scheme == "unix":
        connection: http.client.HTTPConnection = _UnixConnection(url.path)
    elif url.scheme in ("tcp", "http") and url.hostname:
        connection = http.client.HTTPConnection(url.hostname, url.port or 2375, timeout=PATIENCE)
    else:
        raise ValueError(f"DOCKER_HOST={host} is not an address that these tests can ask")
    try:
        connection.request("GET", "/_ping")
        if connection.getresponse().status != 200:
            raise OSError(f"the engine at {host} does not answer /_ping with 200")
    except OSError as error:
        raise OSError(f"no Docker engine answers at {host} ({error})") from error
    finally:
        connection.close()


def _ask_kubernetes() -> None:
    path = Path(os.environ.get("KUBECONFIG", "~/.kube/config")).expanduser()
    if not path.is_file():
        raise OSError(f"there is no kubeconfig at {path}")
    server = re.search(r"^\s*server:\s*(\S+)", path.read_text(), re.MULTILINE)
    if server is None:
        raise ValueError(f"{path} names no server")
    url = urlsplit(server[1])
    try:
        with socket.create_connection((url.hostname or "", url.port or 443), PATIENCE):
            pass
    except OSError as error:
        raise OSError(f"no Kubernetes API server answers at {server[1]} ({error})") from error
