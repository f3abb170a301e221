"""Reading: what YAML says, and values as YAML."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given

from gymrecipe.errors import RecipeError
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.reading import as_yaml, base_knobs, knobs
from tests.recipe.conftest import DPO, TAIL, TEXTS, write


@given(TEXTS)
def test_any_text_survives_the_dump(text: str) -> None:
    assume("\x85" not in text)  # PyYAML takes it for a line break, in what it wrote itself as well
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), as_yaml({"a": text}))
        try:
            assert compose(path, []).values["a"] == text
        except RecipeError as error:
            assert text == "???" or "special characters" in str(error)  # noqa: PT017


def test_the_knobs_of_a_recipe_are_those_at_its_top() -> None:
    assert knobs(DPO) == {"min_gap": 0.2, "strategy": "mirrored", "format": "trl"}
    assert base_knobs()["seed"] == 0


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").mkdir()
    with pytest.raises(RecipeError, match=r"r\.yaml: cannot be read"):
        compose(tmp_path / "r.yaml", [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {b: 1, c: ${d}}", "line 1, column 15: did not find.*, got 'a: {b: 1, c: ${d}}'. In"),
        ("a: {where: x == y: z}", "line 1, column 18: .* has { } [ ] , or : has quotes."),
        ("a:\n\tb: 1", "line 2, column 1: .*, got 'b: 1'. YAML is indented with spaces, not with"),
        ("a: 1\na: 2", "line 2, column 1: found duplicate key a, got 'a: 2'."),
        ("a: [1", "line 2, column 1: did not find expected ',' or ']'. In braces or brackets"),
        ("a: 'b", "line 2, column 1: found unexpected end of stream."),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line_and_what_may_help(
    text: str, said: str, tmp_path: Path
) -> None:
    pattern = r"r\.yaml: not a readable recipe: " + re.escape(said).replace(r"\.\*", ".*")
    with pytest.raises(RecipeError, match=pattern):
        compose(write(tmp_path, text + "\n"), [])


def test_what_yaml_reads_as_true_is_not_a_one(tmp_path: Path) -> None:
    assert compose(write(tmp_path, "a: yes\n" + TAIL), []).values["a"] is True
