"""What requests say: the same as jupyter_client's, seen by a kernel's sockets."""

from __future__ import annotations

import jupyter_client
import pytest
from kernelyard.errors import KernelStateError
from kernelyard.wire import requests
from kernelyard.wire.client import AsyncKernelClient

pytestmark = pytest.mark.anyio

BOTH_KNOW = [
    ("execute", ("1 + 1",), {}),
    ("execute", ("x",), {"silent": True, "store_history": False, "user_expressions": {"a": "b"}}),
    ("execute", ("x",), {"allow_stdin": False, "stop_on_error": False}),
    ("complete", ("impor",), {}),
    ("complete", ("impor", 3), {}),
    ("inspect", ("print",), {"detail_level": 1}),
    ("history", (), {}),
    ("history", (), {"hist_access_type": "tail", "n": 3, "output": True}),
    ("history", (), {"hist_access_type": "search", "pattern": "a*", "unique": True, "raw": False}),
    ("is_complete", ("for",), {}),
    ("kernel_info", (), {}),
    ("comm_info", (), {}),
    ("comm_info", ("target",), {}),
    ("shutdown", (), {}),
    ("shutdown", (True,), {}),
    ("input", ("answer",), {}),
]

CHANNEL = {"shutdown": "control", "input": "stdin"}


@pytest.fixture
def theirs(puppet):
    client = jupyter_client.BlockingKernelClient()
    client.load_connection_info(puppet.connection.to_dict())
    client.start_channels(hb=False)
    yield client
    client.stop_channels()


@pytest.mark.parametrize("call", BOTH_KNOW, ids=str)
async def test_a_request_is_jupyter_clients(puppet, puppet_client, theirs, call):
    method, args, kwargs = call
    channel = CHANNEL.get(method, "shell")
    getattr(puppet_client, method)(*args, **kwargs)
    _, ours = await puppet.request(channel)
    getattr(theirs, method)(*args, **kwargs)
    _, expected = await puppet.request(channel)
    assert (ours["msg_type"], ours["content"]) == (expected["msg_type"], expected["content"])
    assert ours["header"].keys() == expected["header"].keys()


@pytest.mark.parametrize(
    ("method", "args", "content"),
    [
        ("interrupt", (), {}),
        ("debug", ({"type": "request", "seq": 1},), {"type": "request", "seq": 1}),
        ("create_subshell", (), {}),
        ("delete_subshell", ("id",), {"subshell_id": "id"}),
        ("list_subshell", (), {}),
    ],
)
async def test_requests_that_do_not_wait_for_code_go_to_control(puppet, puppet_client, method, args, content):
    msg_id = getattr(puppet_client, method)(*args)
    _, message = await puppet.request("control")
    assert (message["msg_id"], message["msg_type"], message["content"]) == (
        msg_id,
        f"{method}_request",
        content,
    )


async def test_the_subshell_is_named_in_the_header(puppet, puppet_client):
    puppet_client.execute("1", subshell_id="sub")
    _, message = await puppet.request()
    assert message["header"]["subshell_id"] == "sub"


async def test_shell_and_stdin_have_the_same_identity(puppet, puppet_client):
    """A kernel asks for input from the identity that sent the code."""
    puppet_client.execute("1")
    puppet_client.input("x")
    assert (await puppet.request("shell"))[0] == (await puppet.request("stdin"))[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: requests.execute(b"bytes"),
        lambda: requests.execute("1", user_expressions={"a": 1}),
        lambda: requests.complete(None),
        lambda: requests.history(hist_access_type="all"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


async def test_a_request_without_channels_says_what_to_do():
    with pytest.raises(KernelStateError, match="start_channels"):
        AsyncKernelClient().execute("1")
