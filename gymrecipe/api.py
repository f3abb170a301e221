"""Running recipes from Python: `gymrecipe.run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gymrecipe import plugins
from gymrecipe.examples import check_examples
from gymrecipe.executor import Version
from gymrecipe.executor import run as run_plan
from gymrecipe.plan import Plan, plan
from gymrecipe.recipe import compose, in_grammar, locate, needed


def run(recipe: str | Path, /, **knobs: Any) -> Version:
    """Run a recipe, by name or path, and return its version.

        version = gymrecipe.run("dpo_same_prompt", input="rollouts.jsonl", min_gap=0.3)

    Knobs are those of the command line; a stage's parameter is `**{"stages.pair.max_gap": 0.9}`.
    What is installed in the entry-point group `gymrecipe.plugins` is loaded. Raises the errors of
    `gymrecipe.errors`.
    """
    plugins.load()
    overrides = [f"{name}={in_grammar(value)}" for name, value in knobs.items()]
    return run_plan(prepare(locate(str(recipe)), overrides))


def prepare(path: Path, overrides: Sequence[str], command: str = "") -> Plan:
    """The plan of a recipe file with overrides as on a command line; its examples have run."""
    composed = compose(path, overrides)
    checked = plan(composed)
    if checked.examples:
        check_examples(plan(compose(path, needed(composed))) if overrides else checked)
    return msgspec.structs.replace(checked, overrides=tuple(overrides), command=command)
