"""Reading: what YAML says, and values as YAML."""

from __future__ import annotations

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


def test_what_yaml_reads_as_true_is_not_a_one(tmp_path: Path) -> None:
    assert compose(write(tmp_path, "a: yes\n" + TAIL), []).values["a"] is True
