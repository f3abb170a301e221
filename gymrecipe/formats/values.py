"""Values: what fills the columns that stand beside the messages of a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymrecipe.errors import RecipeError
from gymrecipe.formats.custom import parts_in
from gymrecipe.formats.example import Example
from gymrecipe.formats.job import WriteJob
from gymrecipe.formats.raw import verbatim
from gymrecipe.rollouts.chat import Unusable
from gymrecipe.rollouts.columns import SIDES, find, parse_path
from gymrecipe.rollouts.json_members import Repeated, Told

Value = Callable[[int, Example], Any]


def values_of(job: WriteJob) -> dict[str, Value]:
    """How each column of a job is filled, by its name; decided once for all rows."""
    lines = [Told() for _ in job.sides]
    return {name: _value(source, job, lines) for name, source in job.columns.items()}


def _value(source: str, job: WriteJob, lines: list[Told]) -> Value:
    if (made := parts_in(job.format, job.purpose).get(source)) is not None:
        return lambda row, example: made(example)
    if source in job.values:
        held = job.values[source]
        return lambda row, example: held[row]
    side, path = 0, source
    if len(job.sides) == 2:
        name, _, path = source.partition(".")
        if name not in SIDES:
            raise RecipeError(
                f"columns: '{source}' is not known of a pair; write chosen.{source} or"
                f" rejected.{source}"
            )
        side = SIDES.index(name)
    try:
        steps = parse_path(path)
    except ValueError as error:
        raise RecipeError(f"columns: {error}") from None

    key, *below = steps

    def value(row: int, example: Example) -> Any:
        try:
            line = example.lines[side]
            top = lines[side].member(line, key) if isinstance(key, str) else None
            found = None if top is None else find(top, tuple(below))
        except Repeated:
            raise Unusable("duplicate_key", side) from None
        return None if found is None else verbatim(found)

    return value
