"""Which sentence of the contract a test is about, and which sentences no test is about."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from kernelyard import hookspecs

__all__ = ["covers", "sentences", "uncovered"]

T = TypeVar("T", bound=Callable[..., object])

_ATTRIBUTE = "__kernelyard_covers__"


def covers(hook: str, *beginnings: str) -> Callable[[T], T]:
    """Say which sentences of a hook's docstring a test is about. May be used several times on one test.

    Args:
        hook: the hook's name, without its prefix.
        beginnings: how the sentences begin; nothing = the first one.

    Raises:
        ValueError: the hook's docstring has no such sentence.
    """
    known = sentences(hook)
    for beginning in beginnings:
        if not any(sentence.startswith(beginning) for sentence in known):
            raise ValueError(f"{hook} has no sentence that begins with {beginning!r}; it has {known}")
    found = {(hook, s) for s in known for b in (beginnings or (known[0],)) if s.startswith(b)}

    def mark(test: T) -> T:
        setattr(test, _ATTRIBUTE, getattr(test, _ATTRIBUTE, frozenset()) | found)
        return test

    return mark


def sentences(hook: str) -> list[str]:
    """Return the sentences of a hook's docstring: its prose, then what it may raise. Arguments promise nothing."""
    text = inspect.cleandoc(getattr(hookspecs, f"{hookspecs.PROJECT}_{hook}").__doc__ or "")
    prose, _, rest = text.partition("\nArgs:")
    if not rest:
        prose, _, rest = text.partition("\nRaises:")
        raises = rest
    else:
        raises = rest.partition("\nRaises:")[2]
    found = [s for s in re.split(r"(?<=\.)\s+(?=[A-Z`])", " ".join(prose.split())) if s]
    # An error begins with its name at the first level of indentation.
    found += [" ".join(entry.split()) for entry in re.split(r"\n {4}(?=\w)", raises) if entry.strip()]
    return found


def uncovered(contract: type) -> Iterator[tuple[str, str]]:
    """Return the sentences, with their hooks, that no test of a class is about."""
    covered: set[tuple[str, str]] = set()
    for name, test in inspect.getmembers(contract):
        if name.startswith("test_"):
            covered |= getattr(test, _ATTRIBUTE, frozenset())
    hooks: Iterable[str] = (*hookspecs.REQUIRED_HOOKS, *hookspecs.OPTIONAL_HOOKS)
    for hook in hooks:
        for sentence in sentences(hook):
            if (hook, sentence) not in covered:
                yield hook, sentence
