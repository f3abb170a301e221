"""Finding: recipes by name and path, and no file elsewhere."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

import os
from pathlib import Path

import pytest

from gymrecipe.errors import InputError, RecipeError
from gymrecipe.recipe.finding import description, locate, recipes
from tests.recipe.conftest import TAIL, write


def test_a_recipe_is_a_path_to_a_yaml_as_well(tmp_path: Path) -> None:
    path = write(tmp_path, TAIL, "my recipe.yaml")
    assert locate(str(path)) == path


def test_a_folder_of_ones_own_adds_recipes_and_hides_shipped_ones(tmp_path: Path) -> None:
    own = write(tmp_path, TAIL, "mine.yaml")
    other = write(tmp_path, TAIL, "ppo.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    found = recipes([tmp_path])
    assert (found["mine"], found["ppo"]) == (own, other)
    assert "pipe" not in found


def test_a_missing_folder_of_recipes_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        recipes([tmp_path / "nowhere"])


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'dpo_same_promt'.*Did you mean 'dpo_same_prompt'"):
        locate("dpo_same_promt")


@pytest.mark.parametrize("name", ["short_win.yaml", "short_wins", "short_wins.yml"])
def test_a_path_that_is_not_there_names_the_nearest_beside_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "short_wins.yaml").write_text("")
    with pytest.raises(RecipeError, match=rf"Did you mean '{tmp_path}/short_wins\.yaml'\?\Z"):
        locate(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "..", ".", "../dpo_same_prompt", "../recipes/ppo", "/etc/passwd", "a/b", "a\\b", "ppo/",
        "./ppo", "%2e%2e%2fppo", "ppo\0", "\0", "", " ", "ppo ", "-ppo", "~ppo", "file:///etc/passwd",
        "pkg://hydra.conf", "ppo\n", "\uff0e\uff0e/ppo", "x" * 300, "*", "[ppo]", "${name}", "ppo,aggregate",
        "nowhere.yaml", "../recipes.yaml", "a\0.yaml",
    ],
)  # fmt: skip
def test_a_name_that_reaches_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"\Arecipe: "):
        locate(name)


def test_a_description_is_the_comment_at_the_head(tmp_path: Path) -> None:
    path = write(tmp_path, "# One.\n#   two é\n#\n# three\na: 1\n# no\n".encode())
    assert description(path) == "One.\n  two é\n\nthree"


def test_a_description_of_odd_bytes_is_no_crash(tmp_path: Path) -> None:
    assert description(write(tmp_path, b"# \xff\n"))


def test_a_recipe_that_may_not_be_read_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, TAIL)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)
    assert description(path) == "(cannot be read: Permission denied)"
    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(RecipeError, match=r"recipe: \S*yaml: cannot be read: Permission denied\.$"):
        locate(str(path))
    with pytest.raises(InputError, match=r": cannot be looked into: Permission denied\.$"):
        recipes([tmp_path])
