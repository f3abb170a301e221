"""The manual's page of jobs: each recipe of it runs on the sample, each override can be planned."""

import re
import shlex
from pathlib import Path

import pytest

import gymrecipe
from gymrecipe.planning.plan import plan
from gymrecipe.recipe.composing import compose
from gymrecipe.recipe.finding import recipes
from gymrecipe.recipe.overrides import expand_sweep, split_recipe

PAGE = (Path(__file__).parents[1] / "docs" / "jobs.md").read_text()
RECIPES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\| .* \| `(.*)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("text", RECIPES, ids=[text.partition("\n")[0] for text in RECIPES])
def test_a_recipe_of_the_page_makes_rows_of_the_sample(text: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    if "runs/" in text:  # of two policies, which the sample has not
        assert plan(compose(path, [])).steps
        return
    version = gymrecipe.run(str(path), dry_run=True)
    assert all(stage.rows_in for stage in version.manifest.stages[1:])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_can_be_planned(command: str) -> None:
    words = [word for word in shlex.split(command) if word != "-m"]
    name, overrides = split_recipe(words)
    assert name is not None
    for member in expand_sweep(overrides) if "-m" in command else [overrides]:
        assert plan(compose(recipes()[name], member)).steps


def test_the_page_has_what_the_tests_look_for() -> None:
    assert len(RECIPES) >= 5
    assert len(COMMANDS) >= 10
