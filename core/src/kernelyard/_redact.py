"""Masks what looks like a secret in commands, environments and settings, before a person gets to see them.

It goes by names and by form: the values of variables, settings and options whose names sound like a secret
(``API_KEY``, ``--token=``), and the passwords of ``scheme://user:password@host``. So it masks too much at times (a
``KEYBOARD``), and it does not catch:

* a secret under a harmless name (``DB=hunter2``), or with no name at all (a bare argument, a line of a file);
* a secret inside a longer text, such as a script after ``-c``, JSON in a variable, or ``-phunter2``;
* a secret in a URL elsewhere than in the password's place, such as a query (``?sig=...``) or a path (webhooks);
* a user name without a password in a URL, which some services use as a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MASK", "is_secret_name", "redact", "redact_argv", "redact_text"]

#: What stands in a secret's place.
MASK = "***"

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/]*@", re.IGNORECASE)
_NAMED = re.compile(r"(-{0,2}[A-Za-z_][\w.-]*)=(.*)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Return whether a variable, setting or option of this name probably holds a secret."""
    return _SECRET_NAME.search(name) is not None


def redact_text(text: str, name: str = "") -> str:
    """Return a text as it may be shown.

    Args:
        text: the text. An empty one hides nothing, and stays.
        name: the name of the variable, setting or option that has it as its value.
    """
    if not text:
        return text
    return MASK if is_secret_name(name) else _URL_PASSWORD.sub(rf"\1{MASK}@", text)


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return a command as it may be shown: ``--token=VALUE``, ``--token VALUE`` and ``TOKEN=VALUE`` are masked."""
    shown: list[str] = []
    option = ""
    for word in argv:
        named = _NAMED.fullmatch(word)
        if option and not word.startswith("-"):
            shown.append(redact_text(word, option))
        elif named is not None:
            shown.append(f"{named[1]}={redact_text(named[2], named[1])}")
        else:
            shown.append(redact_text(word))
        option = word if word.startswith("--") and "=" not in word else ""
    return shown


def redact(value: Any, name: str = "") -> Any:
    """Return plain data (as JSON has it) as it may be shown. Lists of texts are taken for commands.

    Args:
        value: the data.
        name: the name under which it is known.
    """
    if isinstance(value, str):
        return redact_text(value, name)
    if isinstance(value, Mapping):
        return {key: redact(each, _inner(name, str(key))) for key, each in value.items()}
    if isinstance(value, list | tuple):
        if not is_secret_name(name) and all(isinstance(each, str) for each in value):
            return redact_argv(value)
        return [redact(each, name) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    return MASK if is_secret_name(name) else value


def _inner(outer: str, name: str) -> str:
    """What is inside something secret is secret too."""
    return outer if is_secret_name(outer) else name
