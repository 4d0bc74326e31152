"""How outputs read as text."""

from __future__ import annotations

import pytest
from kernelyard.cli._options import value_of
from kernelyard.cli._rendering import Piece, Renderer, best_text
from kernelyard.cli._terminal import strip_colours


@pytest.mark.parametrize(
    ("bundle", "text"),
    [
        ({"text/html": "<b>", "text/plain": "b"}, "b"),
        ({"text/html": "<b>", "image/png": "iVBO"}, "<b>"),
        ({"text/latex": "$x$", "text/html": "x"}, "$x$"),
        ({"text/plain": ["two\n", "lines"]}, "two\nlines"),
        ({"application/json": {"a": [1]}}, '{\n  "a": [\n    1\n  ]\n}'),
        ({"image/png": "iVBO", "image/jpeg": "x"}, "[image/png, image/jpeg]"),
        ({}, ""),
    ],
)
def test_the_form_that_reads_best_is_taken(bundle: dict[str, object], text: str) -> None:
    assert best_text(bundle) == text


def test_a_display_that_changes_is_said_again_but_not_with_the_same_words() -> None:
    renderer = Renderer()

    def update(text: str) -> Piece | None:
        output = {"output_type": "update_display_data", "display_id": "a", "data": {"text/plain": text}}
        return renderer.render({**output, "metadata": {}})

    said = [update(text) for text in ("10%", "10%", "20%")]
    assert [piece.text for piece in said if piece is not None] == ["10%\n", "20%\n"]


def test_an_error_without_a_traceback_is_its_name_and_value() -> None:
    def said(ename: str) -> Piece | None:
        return Renderer().render({"output_type": "error", "ename": ename, "evalue": "v", "traceback": []})

    assert said("Oops") == Piece("stderr", "Oops: v\n")
    assert said("") == Piece("stderr", "error: v\n")


def test_clearing_says_nothing() -> None:
    assert Renderer().render({"output_type": "clear_output", "wait": False}) is None


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b(Bplain\x1b[?25l", "plain"),
        ("no [31m escape", "no [31m escape"),
    ],
)
def test_escapes_are_removed(text: str, stripped: str) -> None:
    assert strip_colours(text) == stripped


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("true", True), ("[1]", [1]), ('"3"', "3"), ("2g", "2g"), ("", ""), ("NaN", "NaN")],
)
def test_values_are_json_or_text(text: str, value: object) -> None:
    assert value_of(text) == value
