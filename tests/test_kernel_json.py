"""A kernel.json: read like jupyter_client reads it, or refused with the reason; and the command made of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jupyter_client import kernelspec as jupyter
from jupyter_client.manager import KernelManager as JupyterKernelManager
from kernelyard.errors import InvalidKernelSpecError
from kernelyard.kernelspec import (
    NATIVE_KERNEL_NAME,
    KernelSpec,
    KernelSpecManager,
    format_argv,
    substitute_env,
)
from traitlets import Integer

GOOD = {"argv": ["true", "{connection_file}"], "display_name": "Good", "language": "none"}


def write_spec(parent: Path, name: str, content: object = GOOD, **more: object) -> Path:
    directory = parent / name
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        (directory / "kernel.json").write_bytes(content)
    else:
        (directory / "kernel.json").write_text(json.dumps({**content, **more} if more else content))
    return directory


def refusal(directory: Path) -> str:
    with pytest.raises(InvalidKernelSpecError) as caught:
        KernelSpec.from_resource_dir(str(directory))
    assert str(directory / "kernel.json") in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- reading


def test_every_key_is_read(tmp_path):
    metadata = {
        "kernel_provisioner": {
            "provisioner_name": "docker",
            "config": {"image": "a"},
            "resources": {"cpus": 2},
        }
    }
    content = {
        "argv": ["a", "b"],
        "name": "n",
        "mimetype": "text/x-n",
        "display_name": "N",
        "language": "n",
        "kernel_protocol_version": "5.4",
        "env": {"A": "1"},
        "interrupt_mode": "message",
        "metadata": metadata,
    }
    spec = KernelSpec.from_resource_dir(str(write_spec(tmp_path, "n", content)))
    assert {name: getattr(spec, name) for name in content} == content
    assert spec.resource_dir == str(tmp_path / "n")
    assert json.loads(spec.to_json()) == spec.to_dict()
    assert (spec.provisioner_name, spec.provisioner_config, spec.resources) == (
        "docker",
        {"image": "a"},
        {"cpus": 2},
    )


def test_defaults_are_those_of_jupyter_client(tmp_path):
    directory = str(write_spec(tmp_path, "least", {"argv": ["a"]}))
    ours, theirs = KernelSpec.from_resource_dir(directory), jupyter.KernelSpec.from_resource_dir(directory)
    assert set(theirs.trait_names()) == set(ours.trait_names())
    assert {n: getattr(ours, n) for n in ours.trait_names()} == {
        n: getattr(theirs, n) for n in theirs.trait_names()
    }


@pytest.mark.parametrize("mode", ["Signal", "MESSAGE"])
def test_interrupt_mode_is_read_in_any_case(tmp_path, mode):
    directory = str(write_spec(tmp_path, "n", GOOD, interrupt_mode=mode))
    expected = jupyter.KernelSpec.from_resource_dir(directory).interrupt_mode
    assert KernelSpec.from_resource_dir(directory).interrupt_mode == expected == mode.lower()


def test_unknown_keys_are_passed_over_and_resource_dir_is_not_the_files_to_say(tmp_path):
    spec = KernelSpec.from_resource_dir(
        str(write_spec(tmp_path, "n", GOOD, resource_dir="/etc", codemirror_mode="x"))
    )
    assert spec.resource_dir == str(tmp_path / "n")


def test_a_subclass_reads_keys_of_its_own_and_refuses_wrong_ones(tmp_path):
    class WithPriority(KernelSpec):
        priority = Integer()

    manager = KernelSpecManager(kernel_dirs=[str(tmp_path)], kernel_spec_class=WithPriority)
    write_spec(tmp_path, "good", priority=3)
    write_spec(tmp_path, "bad", priority="high")
    assert manager.get_kernel_spec("good").priority == 3
    assert manager.get_kernel_spec(NATIVE_KERNEL_NAME).priority == 0
    with pytest.raises(InvalidKernelSpecError, match="priority"):
        manager.get_kernel_spec("bad")


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    directory = write_spec(tmp_path, "n", b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert KernelSpec.from_resource_dir(str(directory)).display_name == "Good"


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({}, "local"),
        ({"kernel_provisioner": {"provisioner_name": "local"}}, "local"),
        ({"kernel_provisioner": {"provisioner_name": "local-provisioner"}}, "local"),
        ({"kernel_provisioner": {"provisioner_name": "not-installed", "config": {}}}, "not-installed"),
    ],
)
def test_the_provisioner_is_local_unless_the_kernelspec_names_another(tmp_path, metadata, name):
    """One that is not installed is listed and read too: the launch says what to install."""
    write_spec(tmp_path, "n", metadata=metadata)
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path)])
    spec = manager.get_kernel_spec("n")
    assert (spec.provisioner_name, spec.provisioner_config, spec.resources) == (name, {}, {})
    assert "n" in manager.get_all_specs()


def test_a_stanza_that_a_program_made_is_checked_too():
    spec = KernelSpec(metadata={"kernel_provisioner": "docker"})
    with pytest.raises(
        InvalidKernelSpecError, match=r'The kernelspec cannot be used: .*kernel_provisioner is "docker"'
    ):
        _ = spec.provisioner_name


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n  "argv": ["a"]\n  "env": {}\n}', ["is not JSON", "line 3, column 3"]),
        (b"", ["is not JSON", "line 1, column 1"]),
        (b'{"argv":\n["\xff"]}', ["is not UTF-8", "line 2"]),
        (b"[" * 100_000, ["recursion"]),
        (b'{"argv": ' + b"1" * 5000 + b"}", ["digits"]),
        (b'{"argv": ["a"], "display_name": "' + b"x" * (1 << 20) + b'"}', ["larger than 1048576 bytes"]),
        ([], ["the content is an empty list", "must be an object"]),
        ({"display_name": "x"}, ["argv is missing", '"ipykernel_launcher"']),
        ({"argv": "python"}, ['argv is "python"', "a list of strings"]),
        ({"argv": []}, ["argv is an empty list", "a list of strings"]),
        ({"argv": ["a", 1]}, ["argv[1] is 1", "a string"]),
        ({"argv": [""]}, ["argv[0] is empty"]),
        ({"argv": ["a\0b"]}, ["argv[0] is text that no command line can hold"]),
        ({"argv": ["a"], "env": ["A=1"]}, ["env is a list", "an object whose values are strings"]),
        ({"argv": ["a"], "env": {"A": 1}}, ['env["A"] is 1', "a string"]),
        ({"argv": ["a"], "env": {"A=B": "1"}}, ['env["A=B"] has a name']),
        ({"argv": ["a"], "env": {"A": "\ud800"}}, ['env["A"] is text that no environment variable can hold']),
        (
            {"argv": ["a"], "interrupt_mode": "mesage"},
            ['interrupt_mode is "mesage"', '"signal" or "message"'],
        ),
        ({"argv": ["a"], "interrupt_mode": None}, ["interrupt_mode is null", '"signal" or "message"']),
        ({"argv": ["a"], "display_name": 3}, ["display_name is 3", "a string"]),
        ({"argv": ["a"], "language": ["x"]}, ["language is a list", "a string"]),
        ({"argv": ["a"], "metadata": "x"}, ['metadata is "x"', "an object"]),
        (
            {"argv": ["a"], "metadata": {"kernel_provisioner": None}},
            ["metadata.kernel_provisioner is null", "an object"],
        ),
        (
            {"argv": ["a"], "metadata": {"kernel_provisioner": {}}},
            ["kernel_provisioner.provisioner_name is missing"],
        ),
        (
            {"argv": ["a"], "metadata": {"kernel_provisioner": {"provisioner_name": 1}}},
            ["kernel_provisioner.provisioner_name is 1", "a name"],
        ),
        (
            {"argv": ["a"], "metadata": {"kernel_provisioner": {"provisioner_name": "x", "config": []}}},
            ["kernel_provisioner.config is an empty list", "an object"],
        ),
        (
            {"argv": ["a"], "metadata": {"kernel_provisioner": {"provisioner_name": "x", "resources": 1}}},
            ["kernel_provisioner.resources is 1", "an object"],
        ),
    ],
)
def test_a_kernel_json_that_cannot_be_used_is_refused_with_file_key_and_cure(tmp_path, content, words):
    message = refusal(write_spec(tmp_path, "broken", content))
    for word in words:
        assert word in message


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    message = refusal(write_spec(tmp_path, "broken", {"env": 1, "metadata": 2, "interrupt_mode": 3}))
    assert len(message.splitlines()) == 5
    for key in ("argv", "env", "metadata", "interrupt_mode"):
        assert f"\n  {key} is " in message


def test_a_file_with_a_thousand_mistakes_gets_a_short_answer(tmp_path):
    assert len(refusal(write_spec(tmp_path, "broken", {"argv": [1] * 1000}))) < 3000


def test_a_value_of_the_environment_is_never_in_the_message(tmp_path):
    assert "hunter2" not in refusal(write_spec(tmp_path, "broken", GOOD, env={"TOKEN": "hunter2\0", "B": 1}))


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        KernelSpec.from_resource_dir(str(tmp_path))


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "kernel.json").mkdir()
    assert "cannot be read" in refusal(tmp_path)


# ---------------------------------------------------------------- anything at all


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
keys = [
    "argv",
    "env",
    "metadata",
    "interrupt_mode",
    "display_name",
    "language",
    "name",
    "resource_dir",
    "self",
    "cls",
]
stanzas = st.fixed_dictionaries(
    {},
    optional={
        "kernel_provisioner": json_values
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["provisioner_name", "config", "resources"], json_values)
        )
    },
)
nearly_specs = st.fixed_dictionaries(
    {"argv": st.lists(st.text(min_size=1), min_size=1, max_size=3) | json_values},
    optional={**dict.fromkeys(keys[1:], json_values), "metadata": stanzas | json_values},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300)
    | st.one_of(json_values, nearly_specs).map(lambda v: json.dumps(v).encode())
)
def test_whatever_the_file_holds_it_is_read_or_refused(tmp_path, content):
    """What is read can be used: every property answers, and it goes into JSON again."""
    directory = write_spec(tmp_path, "fuzz", content)
    try:
        spec = KernelSpec.from_resource_dir(str(directory))
    except InvalidKernelSpecError:
        return
    assert spec.argv
    assert all(isinstance(word, str) for word in [*format_argv(spec.argv, {}), spec.provisioner_name])
    assert all(isinstance(value, str) for value in substitute_env(spec.env, os.environ).values())
    assert isinstance(spec.provisioner_config, dict)
    assert isinstance(spec.resources, dict)
    assert spec.to_json()


# ---------------------------------------------------------------- the command and the environment


def test_env_is_substituted_from_the_environment_below_it():
    base = {"HOME": "/h", "PATH": "/bin", "A": "base"}
    env = {"A": "own", "B": "${HOME}/b:$PATH", "C": "$A", "D": "${MISSING} $$ $", "E": "plain"}
    assert substitute_env(env, base) == {
        "A": "own",
        "B": "/h/b:/bin",
        "C": "base",
        "D": "${MISSING} $ $",
        "E": "plain",
    }


@pytest.mark.parametrize(
    "first", ["python", "python3", "python{0}.{1}", "python2", "python3.0", "bash", "/usr/bin/python"]
)
def test_a_command_is_what_jupyter_client_makes_of_it(tmp_path, first):
    first = first.format(*sys.version_info)
    argv = [
        first,
        "{resource_dir}/x",
        "{prefix}",
        "{unknown}",
        "{}",
        "{{prefix}}",
        "-f={connection_file}",
        "{my_arg}",
    ]
    write_spec(tmp_path, "n", argv=argv)
    theirs = JupyterKernelManager(
        kernel_name="n",
        kernel_spec_manager=jupyter.KernelSpecManager(kernel_dirs=[str(tmp_path)]),
        connection_file=str(tmp_path / "c.json"),
    )
    theirs._launch_args = {"my_arg": "mine"}
    values = {
        "connection_file": os.path.realpath(theirs.connection_file),
        "resource_dir": str(tmp_path / "n"),
    }
    assert format_argv(argv, {**values, "my_arg": "mine"}) == theirs.format_kernel_cmd()


def test_the_connection_file_stays_open_until_it_is_known():
    assert format_argv(["k", "{connection_file}"], {}) == ["k", "{connection_file}"]
    assert format_argv([], {}) == []


def test_a_value_is_not_substituted_again():
    assert format_argv(["k", "{a}"], {"a": "{b}", "b": "no"}) == ["k", "{b}"]
