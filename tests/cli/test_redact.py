"""What is masked before a person sees it, and what is known not to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernelyard._redact import MASK, redact, redact_argv, redact_text


@pytest.mark.parametrize(
    "name",
    [
        *("API_KEY", "GITHUB_TOKEN", "client_secret", "DB_PASSWORD", "MYSQL_PASSWD", "PGPASS"),
        *("AWS_CREDENTIALS", "BASIC_AUTH", "Authorization"),
    ],
)
def test_values_of_secret_names_are_masked(name: str) -> None:
    assert redact_text("hunter2", name) == MASK


@pytest.mark.parametrize(("name", "value"), [("HOME", "/home/ann"), ("PATH", "/bin"), ("API_KEY", "")])
def test_other_values_are_shown(name: str, value: str) -> None:
    assert redact_text(value, name) == value


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:hunter2@db:5432/x", f"postgresql://ann:{MASK}@db:5432/x"),
        ("redis://:hunter2@cache", f"redis://:{MASK}@cache"),
        ("http://u:p@a@host/ and https://u:q@b", f"http://u:{MASK}@host/ and https://u:{MASK}@b"),
        ("https://example.org:8080/a@b", "https://example.org:8080/a@b"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    assert redact_text(url, "URL") == shown


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["run", "--token=abc"], ["run", f"--token={MASK}"]),
        (["run", "--token", "abc", "x"], ["run", "--token", MASK, "x"]),
        (["run", "--token", "--verbose", "x"], ["run", "--token", "--verbose", "x"]),
        (["env", "API_KEY=abc", "A=b"], ["env", f"API_KEY={MASK}", "A=b"]),
        (["-e", "PW_URL=ftp://u:p@h"], ["-e", f"PW_URL=ftp://u:{MASK}@h"]),
        (["python", "-m", "kernel", "-f", "{connection_file}"],) * 2,
    ],
)
def test_commands_are_masked_word_by_word(argv: list[str], shown: list[str]) -> None:
    assert redact_argv(argv) == shown


def test_plain_data_is_masked_at_any_depth() -> None:
    data = {"auth": {"user": "ann", "tries": 3, "on": True}, "args": ["--key=1"], "tokens": ["a"], "n": 1}
    assert redact(data) == {
        "auth": {"user": MASK, "tries": MASK, "on": True},
        "args": [f"--key={MASK}"],
        "tokens": [MASK],
        "n": 1,
    }


@given(st.text(min_size=1), st.sampled_from(["--password=", "--api-key=", "SECRET="]))
def test_a_masked_word_does_not_depend_on_the_secret(secret: str, prefix: str) -> None:
    assert redact_argv([prefix + secret]) == [prefix + MASK]
