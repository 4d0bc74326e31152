"""The reference pages say what the code says."""

from __future__ import annotations

import importlib.util
import inspect
import re
from types import ModuleType

import kernelyard
import pytest
from kernelyard import errors, hookspecs

from tests.docs.pages import DOCS, headings


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page",
    ["reference/hooks.md", "reference/errors.md", "reference/settings.md", "explanation/design.md"],
)
def test_generated_parts_are_up_to_date(generate: ModuleType, page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert "<!-- generated: " in text
    assert generate.filled(text) == text, "run: python docs/generate.py"


def test_every_hook_has_a_heading_with_its_arguments_and_every_heading_is_a_hooks() -> None:
    specified = {
        f"{name}({', '.join(inspect.signature(function).parameters)})"
        for name, function in vars(hookspecs).items()
        if name.startswith("kernelyard_")
    }
    page = (DOCS / "reference" / "hooks.md").read_text("utf-8")
    assert {heading for heading in headings(page) if heading.startswith("kernelyard_")} == specified


def test_tree_of_errors_names_every_error_below_its_parent() -> None:
    page = (DOCS / "reference" / "errors.md").read_text("utf-8")
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in page[page.index("KernelyardError\n├") :].split("```")[0].splitlines():
        name = re.search(r"\w+", line)
        assert name is not None
        depth = name.start() // 4
        above = [*above[:depth], name[0]]
        drawn[name[0]] = above[-2] if depth else None
    real = {
        name: (cls.__bases__[0].__name__ if cls.__bases__[0] is not Exception else None)
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.KernelyardError)
    }
    assert drawn == real


def test_every_public_name_is_in_the_python_api() -> None:
    page = (DOCS / "reference" / "python-api.md").read_text("utf-8")
    documented = set(re.findall(r"kernelyard\.(\w+)\b", page)) | {"hookimpl"}
    assert set(kernelyard.__all__) - documented == set()


def test_every_hook_is_sorted_into_a_chapter(generate: ModuleType) -> None:
    """A hook that is no provisioner's is a policy's or an observer's."""
    assert all(name == "prepare" or name.startswith("on_") for name in generate.others())
