"""Writes those parts of the pages that the code knows better: hooks, errors, settings, states.

    python docs/generate.py [--check]

A page has such a part between two comments, `<!-- generated: NAME -->` and `<!-- end -->`. With --check nothing is
written, and the exit status is 1 if a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kernelyard import KernelManager, MultiKernelManager, _lifecycle, errors, hookspecs
from kernelyard_local import LocalProvisioner
from traitlets import HasTraits, TraitType

DOCS = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = 0
    for page in sorted([*DOCS.glob("reference/*.md"), *DOCS.glob("explanation/*.md")]):
        before = page.read_text("utf-8")
        after = filled(before)
        if after != before:
            stale += 1
            print(f"{page.name} is out of date" if "--check" in arguments else f"{page.name} is written")
            if "--check" not in arguments:
                page.write_text(after, "utf-8")
    return int("--check" in arguments and stale > 0)


def filled(page: str) -> str:
    """Return a page with its generated parts up to date."""
    part = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return part.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]().strip()}\n\n{match[3]}", page)


# Hooks ------------------------------------------------------------------------------------------------------


def hooks(names: tuple[str, ...]) -> str:
    """Describe hooks: a heading with the arguments, the signature, and the docstring."""
    return "\n".join(line for name in names for line in hook(f"{hookspecs.PROJECT}_{name}"))


def hook(name: str) -> Iterator[str]:
    """Describe one hook."""
    function = getattr(hookspecs, name)
    signature = inspect.signature(function)
    yield f"### {name}({', '.join(signature.parameters)})\n"
    yield f"```python\nasync def {name}{signature}\n```\n".replace("'", "")
    yield from documented(inspect.cleandoc(function.__doc__))


def documented(docstring: str) -> Iterator[str]:
    """Yield a Google-style docstring as Markdown."""
    prose, *sections = re.split(r"^(Args|Returns|Raises):\n", docstring, flags=re.MULTILINE)
    yield f"{prose.strip()}\n"
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        yield f"{ {'Args': 'Arguments', 'Returns': 'Returns', 'Raises': 'Raises'}[title] }:\n"
        for entry in re.split(r"\n(?=    \S)", body.rstrip()):
            word, _, text = " ".join(entry.split()).partition(": ")
            yield f"- `{word}`: {text}"
        yield ""


def others() -> tuple[str, ...]:
    """Return the hooks that are no provisioner's, without their prefix."""
    known = [name.removeprefix("kernelyard_") for name in vars(hookspecs) if name.startswith("kernelyard_")]
    return tuple(n for n in known if n not in (*hookspecs.REQUIRED_HOOKS, *hookspecs.OPTIONAL_HOOKS))


# Errors -----------------------------------------------------------------------------------------------------


def tree() -> str:
    """Draw the tree of errors, from the classes, with the other types that each one is."""
    lines = ["KernelyardError"]

    def descend(parent: type, indent: str) -> None:
        children = [c for c in vars(errors).values() if isinstance(c, type) and c.__bases__[0] is parent]
        for number, child in enumerate(children, start=1):
            is_last = number == len(children)
            also = ", ".join(base.__name__ for base in child.__bases__[1:])
            lines.append(
                f"{indent}{'└── ' if is_last else '├── '}{child.__name__}{f' ({also})' if also else ''}"
            )
            descend(child, indent + ("    " if is_last else "│   "))

    descend(errors.KernelyardError, "")
    return "```text\n" + "\n".join(lines) + "\n```"


def meanings() -> str:
    """Say of each error what it means, in the order of the tree."""
    rows = ["| error | meaning |", "|---|---|"]
    for name in re.findall(r"[A-Z]\w+", re.sub(r"\(.*?\)", "", tree())):
        first = " ".join(inspect.cleandoc(getattr(errors, name).__doc__).split("\n\n")[0].split())
        rows.append(f"| `{name}` | {first} |")
    return "\n".join(rows)


# Settings and states ---------------------------------------------------------------------------------------------------


def settings(cls: type[HasTraits]) -> str:
    """List the configurable traits of a class, also those that it inherits."""
    rows = ["| name | type | default | meaning |", "|---|---|---|---|"]
    plain = cls()
    for name, trait in sorted(cls.class_traits(config=True).items()):
        value = getattr(plain, name)
        default = f"`{value!r}`" if value or value == 0 else "none"
        meaning = str(trait.help).replace("<", "&lt;")
        rows.append(f"| `{name}` | {kind(trait)} | {default} | {meaning} |")
    return "\n".join(rows)


def kind(trait: TraitType[Any, Any]) -> str:
    """Return a trait's type for people."""
    names = {"CaselessStrEnum": "one of", "Unicode": "text", "Bool": "true or false", "Integer": "integer"}
    names |= {
        "Int": "integer",
        "Float": "number",
        "DottedObjectName": "name of a class",
        "Set": "set of texts",
    }
    values = ", ".join(f"`{value}`" for value in getattr(trait, "values", None) or ())
    return f"{names[type(trait).__name__]} {values}".strip()


def states() -> str:
    """Return the table of what may happen in which state, from the docstring of the state machine."""
    lines = [line.strip() for line in (_lifecycle.__doc__ or "").splitlines()]
    rows = [
        re.split(r"\s{2,}", line) for line in lines if re.search(r"\S\s{2,}\S", line) and "==" not in line
    ]
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


PARTS: dict[str, Callable[[], str]] = {
    "required-hooks": lambda: hooks(hookspecs.REQUIRED_HOOKS),
    "optional-hooks": lambda: hooks(hookspecs.OPTIONAL_HOOKS),
    "policy-hooks": lambda: hooks(tuple(n for n in others() if not n.startswith("on_"))),
    "observer-hooks": lambda: hooks(tuple(n for n in others() if n.startswith("on_"))),
    "states": states,
    "error-tree": tree,
    "error-meanings": meanings,
    "settings-KernelManager": lambda: settings(KernelManager),
    "settings-MultiKernelManager": lambda: settings(MultiKernelManager),
    "settings-LocalProvisioner": lambda: settings(LocalProvisioner),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
