"""Running recipes from Python: `gymrecipe.run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gymrecipe.examples import check_examples
from gymrecipe.executor import Progress, Version
from gymrecipe.executor import run as run_plan
from gymrecipe.plan import plan
from gymrecipe.recipe import compose, locate


def run(recipe: str | Path, /, **knobs: Any) -> Version:
    """Run a recipe, by name or path, and return its version.

        version = gymrecipe.run("dpo_same_prompt", input="rollouts.jsonl", min_gap=0.3)

    Knobs are those of the command line; a stage's parameter is `**{"stages.pair.max_gap": 0.9}`.
    Raises the errors of `gymrecipe.errors`.
    """
    overrides = [f"{name}={_hydra(value)}" for name, value in knobs.items()]
    return run_file(locate(str(recipe)), overrides)


def run_file(
    path: Path,
    overrides: Sequence[str],
    progress: Progress | None = None,
    command: str = "",
) -> Version:
    """Run a recipe file with overrides as on a command line; its examples run first."""
    checked = plan(compose(path, overrides))
    if checked.examples:
        check_examples(plan(compose(path, [])) if overrides else checked)
    return run_plan(
        msgspec.structs.replace(checked, overrides=tuple(overrides), command=command), progress
    )


def _hydra(value: Any) -> str:
    """A Python value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_hydra(part) for part in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra(part)}" for key, part in value.items()) + "}"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
