"""Plans of recipes that a test writes out, and what is said of those that have none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gymrecipe.errors import RecipeError
from gymrecipe.planning.plan import Plan, plan
from gymrecipe.recipe.composing import compose


def planned(folder: Path, text: str, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a recipe with this text."""
    path = folder / "r.yaml"
    path.write_text(text)
    return plan(compose(path, overrides))


def problems(folder: Path, text: str, overrides: Sequence[str] = ()) -> list[str]:
    """What is wrong with a recipe of this text."""
    with pytest.raises(RecipeError) as caught:
        planned(folder, text, overrides)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def staged(*stages: str) -> str:
    """A recipe with these stages, a line each."""
    return "stages:\n" + "".join(f"  {stage}\n" for stage in stages)
