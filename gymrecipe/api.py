"""Running recipes from Python: `gymrecipe.run`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gymrecipe import plugins
from gymrecipe.errors import RecipeError
from gymrecipe.planning.plan import Plan, plan
from gymrecipe.recipe.composing import PYTHON, Composed, as_it_is, compose
from gymrecipe.recipe.finding import locate
from gymrecipe.recipe.grammar import as_plain, in_grammar
from gymrecipe.running import ahead

if TYPE_CHECKING:
    from gymrecipe.running.executor import Version

_TURN = threading.RLock()
"""Held by the run whose turn it is: Hydra's store of configs and what Polars is set to are the
process's, not the thread's."""


def run(recipe: str | Path, /, **knobs: Any) -> Version:
    """Run a recipe, by name or path, and return its version.

        version = gymrecipe.run("dpo_same_prompt", input="rollouts.jsonl", min_gap=0.3)

    Knobs are those of the command line; a stage's parameter is `**{"stages.pair.max_gap": 0.9}`,
    and `**{"~stages.check": None}` takes a stage out.
    What is installed in the entry-point group `gymrecipe.plugins` is loaded. Runs of several
    threads take turns. Raises the errors of `gymrecipe.errors`.
    """
    with _TURN:
        return _run(recipe, knobs)


def _run(recipe: str | Path, knobs: dict[str, Any]) -> Version:
    plugins.load()
    if "recipe" in knobs:
        raise RecipeError(f"{PYTHON.name}: recipe: named twice. It is the first argument.")
    overrides = [_override(name, value) for name, value in knobs.items()]
    composed = compose(locate(str(recipe)), overrides, PYTHON)
    with ahead.engine(composed) as engine:
        prepared = prepare(composed)

        from gymrecipe.running import executor

        return executor.run(prepared, engine)


def _override(name: str, value: Any) -> str:
    if name.startswith("~") and value is None:
        return name
    try:
        return f"{name}={in_grammar(as_plain(value))}"
    except TypeError as error:
        raise RecipeError(
            f"{PYTHON.name}: {name}: a value of type {error} stands for nothing in a recipe. Give "
            "a text, a number, a boolean, None, or a list or mapping of them."
        ) from None


def prepare(composed: Composed, command: str = "") -> Plan:
    """The plan of a composed recipe; its examples have run."""
    checked = plan(composed)
    if checked.examples:
        from gymrecipe.running.examples import check_examples

        check_examples(plan(as_it_is(composed)) if composed.overrides else checked)
    return msgspec.structs.replace(checked, command=command)
