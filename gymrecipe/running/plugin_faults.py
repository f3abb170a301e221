"""Plugin faults: what the code of a plugin did wrong, as a sentence that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from gymrecipe.errors import GymrecipeError, RecipeError
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.steps import Step
from gymrecipe.registry import CHECKS, FORMATS, PLUGINS, STRATEGIES, Entry, Facts, is_ours
from gymrecipe.rollouts.columns import BUILT_IN, ROWS
from gymrecipe.stages.validate import Validate
from gymrecipe.stages.write import Write

KEYS = (*ROWS, "metric")
"""The columns by which a row is known, whatever it is a row of."""

OUR_FACTS = ("compared", "rates", "resolved", "rewards")
"""Facts that checks, manifests and verbs read, and take for those of a stage of ours."""


@contextmanager
def blaming(step: Step) -> Iterator[None]:
    """Raises RecipeError in place of whatever a plugin's part of the step raises."""
    try:
        yield
    except (GymrecipeError, MemoryError, OSError):
        raise
    except (Exception, SystemExit) as error:  # the code of others may raise anything
        frames = [
            f"{Path(frame.f_code.co_filename).name}:{line}"
            for frame, line in walk_tb(error.__traceback__)
            if _is_of_a_plugin(str(frame.f_globals.get("__name__")))
        ]
        parts = [part for _, part in parts_of_plugins(step)]
        if not frames and not parts:
            raise
        at = f", at {frames[-1]}" if frames else ""
        what = " and ".join(parts) or "a plugin"
        first = next(iter(str(error).splitlines()), "")
        raise RecipeError(
            f"stages.{step.name}: {what} failed: {type(error).__name__}: {first}{at}."
        ) from error


def check_rows(step: Step, rows: pl.DataFrame, made: pl.DataFrame) -> None:
    """Raise RecipeError where a plugin's stage lost rows, made some twice, or hides which they are.

    What makes rows of another unit accounts for them in a way of its own.
    """
    if is_ours(step.stage) or step.source is None or step.makes != step.takes:
        return
    keys = [name for name in KEYS if name in rows.columns]
    what = _stage(step)
    if absent := [key for key in keys if key not in made.columns]:
        raise RecipeError(f"{what} takes away the column '{absent[0]}', which says what a row is.")
    before, after = rows.select(keys), made.select(keys)
    if keys and not before.sort(keys).equals(after.sort(keys)):
        raise RecipeError(
            f"{what} gives {after.height} rows of {before.height}, {after.n_unique()} of them"
            " different. It has to give every row once, and those that leave a `reason`."
        )
    if "reason" in made.columns and (made["reason"].cast(pl.String) == "").any():
        raise RecipeError(f"{what} gives an empty text as a `reason`, which says nothing.")


def check_columns(step: Step, rows: pl.LazyFrame, made: pl.DataFrame) -> None:
    """Raise RecipeError where a plugin's stage makes of a column of the rollouts what later stages
    cannot read: values of another kind, or numbers that are not finite.
    """
    if is_ours(step.stage) or step.takes != "rollouts" or step.makes != "rollouts":
        return
    what = _stage(step)
    for name, was in rows.collect_schema().items():
        if name not in BUILT_IN or name not in made.columns:
            continue
        if not _is_alike(made.schema[name], was):
            raise RecipeError(
                f"{what} gives the column '{name}' as {made.schema[name]}, not {was}."
            )
        if was.is_float() and not made[name].drop_nulls().is_finite().all():
            raise RecipeError(
                f"{what} gives numbers in the column '{name}' that are not finite. Where there is"
                " none, it has to be null."
            )


def _is_alike(kind: pl.DataType, was: pl.DataType) -> bool:
    """Whether a column may become of a kind: texts and whole numbers are held in several ways."""
    texts = (pl.String, pl.Categorical, pl.Enum)
    return (
        kind == was
        or (was.is_integer() and kind.is_integer())
        or (isinstance(was, texts) and isinstance(kind, texts))
    )


def frame_and_facts(step: Step, made: Any) -> tuple[pl.LazyFrame, Facts]:
    """The frame and the facts that a stage made. Raises RecipeError for anything else."""
    what = _stage(step)
    frame, facts = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(frame, pl.LazyFrame) or not isinstance(facts, dict):
        raise RecipeError(
            f"{what} gives a {type(made).__name__}, not a LazyFrame of Polars, or one with a dict"
            " of such facts."
        )
    for name, table in facts.items():
        if not isinstance(table, pl.LazyFrame):
            raise RecipeError(
                f"{what} gives a {type(table).__name__} as its facts '{name}', not a LazyFrame."
            )
        if name == "warnings" and "message" not in table.collect_schema().names():
            raise RecipeError(f"{what} gives `warnings` without their column `message`.")
        if name in OUR_FACTS and not is_ours(step.stage):
            raise RecipeError(f"{what} gives facts named '{name}', as ours are. Rename them.")
    return frame, facts


def _is_of_a_plugin(module: str) -> bool:
    return any(f"{module}.".startswith(f"{plugin}.") for plugin in PLUGINS)


def parts_of_plugins(step: Step) -> Iterator[tuple[str, str]]:
    """The parts of a step that are not ours, by kind: the stage, and what its parameters choose."""
    params: Any = step.params
    parts: list[tuple[str, Entry]] = [("stage", step.stage)]
    if step.stage.name == "pair":
        parts.append(("strategy", STRATEGIES[params.strategy]))
    if isinstance(params, Write):
        parts.append(("format", FORMATS[params.format]))
    if isinstance(params, Validate):
        parts += [("check", CHECKS[name]) for name in params.limits()]
    for kind, entry in parts:
        if not is_ours(entry):
            yield kind, _named(kind, entry)


def _stage(step: Step) -> str:
    """How a sentence about a step whose stage is a plugin's begins."""
    return f"stages.{step.name}: {_named('stage', step.stage)}"


def _named(kind: str, entry: Entry) -> str:
    return f"the {kind} '{entry.name}' of the plugin {entry.function.__module__}"
