"""The code in the documentation runs, prints what the page says it prints, and the links lead somewhere."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, anchors, blocks, links, matches, pages

_WITH_CODE = [
    page
    for page in pages()
    if page.parent.name != "reference"  # signatures
    and any(block.language == "python" for block in blocks(page.read_text("utf-8")))
]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", _WITH_CODE, ids=_name)
def test_code_of_the_page_runs(
    page: Path,
    tmp_path: Path,
    with_example: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its blocks are one program, from the top to the bottom of the page."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page.read_text("utf-8")):
        if block.language == "python" and block.not_run is None and block.file is None:
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, _name(page), "exec"), names)
            printed, _ = capfd.readouterr()
        elif block.is_output:
            assert matches(printed, block.text), f"{_name(page)}:{block.line}: the code printed\n{printed}"
    names.clear()
    gc.collect()  # what the page did not close warns here


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_parts_of_files_that_the_page_shows_are_in_the_files(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.file is not None:
            lines = [line.strip() for line in (ROOT / block.file).read_text("utf-8").splitlines()]
            part = [line.strip() for line in block.text.splitlines()]
            found = any(lines[i : i + len(part)] == part for i in range(len(lines)))
            assert found, f"{_name(page)}:{block.line} is not in {block.file}"


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target in links(page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        there = page if not path else (page.parent / path).resolve()
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(there.read_text("utf-8")), f"{target}: there is no such heading"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = {
        line.strip()
        for block in blocks((DOCS / "index.md").read_text("utf-8"))
        for line in block.text.splitlines()
        if line.strip() and not line.startswith(":")
    }
    there = {
        str(page.relative_to(DOCS).with_suffix(""))
        for page in pages()
        if page.is_relative_to(DOCS) and "examples" not in page.parts and page.name != "index.md"
    }
    assert listed == there


def test_dots_in_an_expected_output_stand_for_anything() -> None:
    assert matches("one\ntwo\nthree\n", "one\n...three")
    assert not matches("one\ntwo\n", "one\n...three")
