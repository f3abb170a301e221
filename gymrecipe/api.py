"""Running recipes from Python: `gymrecipe.run`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from gymrecipe import plugins
from gymrecipe.ahead import start_server
from gymrecipe.errors import RecipeError
from gymrecipe.examples import check_examples
from gymrecipe.executor import Version
from gymrecipe.executor import run as run_plan
from gymrecipe.plan import Plan, plan
from gymrecipe.recipe.composing import Composed, compose, needed
from gymrecipe.recipe.finding import locate
from gymrecipe.recipe.overrides import in_grammar


def run(recipe: str | Path, /, **knobs: Any) -> Version:
    """Run a recipe, by name or path, and return its version.

        version = gymrecipe.run("dpo_same_prompt", input="rollouts.jsonl", min_gap=0.3)

    Knobs are those of the command line; a stage's parameter is `**{"stages.pair.max_gap": 0.9}`.
    What is installed in the entry-point group `gymrecipe.plugins` is loaded. Raises the errors of
    `gymrecipe.errors`.
    """
    plugins.load()
    overrides = [f"{name}={in_grammar(value)}" for name, value in knobs.items()]
    try:
        composed = compose(locate(str(recipe)), overrides)
        start_server(composed)
        return run_plan(prepare(composed))
    except RecipeError as error:
        error.problems = tuple(map(_of_a_call, error.problems))
        error.args = ("\n".join(error.problems),)
        raise


def _of_a_call(problem: str) -> str:
    """The same fault where a Python call gave the value, and no command line."""
    there = re.sub(r"\Acommand line: ", "gymrecipe.run(): ", problem)
    return re.sub(r" on the command line\.\Z", " in the call.", there)


def prepare(composed: Composed, command: str = "") -> Plan:
    """The plan of a composed recipe; its examples have run."""
    checked = plan(composed)
    if checked.examples:
        as_it_is = composed.overrides and compose(Path(composed.path), needed(composed))
        check_examples(plan(as_it_is) if as_it_is else checked)
    return msgspec.structs.replace(checked, command=command)
