"""Examples: a few inline rollouts of a recipe and what becomes of them, run before any data."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.engines.local import local
from gymrecipe.errors import DataError, RecipeError
from gymrecipe.experiments import folders
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.settings import WorkedExample
from gymrecipe.planning.steps import Step, templates_of
from gymrecipe.rollouts.files import open_source
from gymrecipe.running.fold import fold
from gymrecipe.running.loading import read
from gymrecipe.running.progress import SILENT
from gymrecipe.running.rehearsal import rehearse


def check_examples(plan: Plan) -> None:
    """Run each example of a recipe with the file's own values.

    Raises RecipeError with every rollout that becomes something else than the example says.
    """
    problems = []
    rehearse(plan)
    for name, example in plan.examples.items():
        if len(example.becomes) != len(example.rollouts):
            problems.append(
                f"{plan.recipe_path}: examples.{name}: {len(example.rollouts)} rollouts, but"
                f" `becomes` has {len(example.becomes)} words."
            )
            continue
        try:
            became = _outcome(plan, example)
        except (DataError, RecipeError) as error:
            problems += [f"{plan.recipe_path}: examples.{name}: {said}" for said in error.problems]
            continue
        problems += [
            f"{plan.recipe_path}: examples.{name}: rollout {place} should become '{wanted}', got"
            f" '{got}'."
            for place, (wanted, got) in enumerate(zip(example.becomes, became, strict=True), 1)
            if wanted != got
        ]
    if problems:
        raise RecipeError(*problems)


def _outcome(plan: Plan, example: WorkedExample) -> list[str]:
    """What each rollout becomes: used, chosen, rejected, or the reason that it leaves for."""
    with folders.scratch() as folder, local(1) as engine:
        path = folder / "example.jsonl"
        lines = [msgspec.json.encode(_rollout(value)) for value in example.rollouts]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        source = open_source(str(path), 0)
        alone = msgspec.structs.replace(plan, steps=tuple(_from(step) for step in plan.steps))
        table = read(alone, [source], [], engine, SILENT)
        templates = templates_of(alone.steps)
        folded = fold(alone, table, [source], folder, engine, SILENT, templates)
    became = dict(zip(folded.used["row"], folded.used["side"], strict=True))
    fates = dict(zip(folded.settled["row"], folded.settled["reason"], strict=True))
    lines_of = dict(zip(table.rows["line"], table.rows["row"], strict=True))
    bad = dict(zip(table.bad["line"], table.bad["reason"], strict=True))
    words = []
    for number in range(1, len(example.rollouts) + 1):
        row = lines_of.get(number)
        if row is None:
            words.append(str(bad[number]))
        else:
            words.append(became[row] or "used" if row in became else str(fates[row]))
    return words


def _from(step: Step) -> Step:
    """The step with nothing that limits how much is read."""
    if step.source is not None:
        return step
    free = {"limit": None, "limit_tasks": None, "max_bad_rows": None}
    return msgspec.structs.replace(step, params=step.params.model_copy(update=free))


def _rollout(value: dict[str, Any]) -> dict[str, Any]:
    """A whole line, or a short one: `prompt` and `answer` as texts, and any other fields."""
    if "prompt" not in value or "answer" not in value:
        return value
    rest = {name: part for name, part in value.items() if name not in ("prompt", "answer")}
    prompt = [{"role": "user", "content": value["prompt"]}]
    return {"messages": prompt, "response": value["answer"]} | rest
