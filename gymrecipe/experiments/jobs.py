"""Jobs: what a write asks of the workers, as far as all its slices have it in common."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.formats.custom import parts_in
from gymrecipe.formats.job import WriteJob
from gymrecipe.formats.template import Template
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.extra_columns import columns_of, held, path_of, table_column
from gymrecipe.planning.settings import NamedColumn
from gymrecipe.planning.steps import Step
from gymrecipe.registry import FORMATS, PLUGINS, Purpose
from gymrecipe.rollouts.chat import Reading
from gymrecipe.rollouts.columns import MADE
from gymrecipe.stages.write import Write

NEEDED: dict[Purpose, dict[str, str]] = {
    "kto": {"label": "label"},
    "buffer": {"reward": "reward"},
    "reward_model": {"margin": "gap"},
}
"""What a purpose needs of the table, and the column it is."""


class Taken(msgspec.Struct, frozen=True):
    """The columns of the table that each slice takes along, by their names in its job."""

    values: dict[str, str]
    own: dict[str, str]


def job_of(
    step: Step,
    rows: pl.DataFrame,
    sides: tuple[str, ...],
    named: dict[str, NamedColumn],
    template: Template | None,
) -> tuple[WriteJob, Taken]:
    """The job of a write without any rows, and the columns of the table that go with the rows."""
    params, purpose, format = step.write, step.purpose, FORMATS[step.write.format]
    columns, values = _beside(params, purpose, len(sides) == 2, _held(rows, named), named)
    fields = params.verifier_fields
    settings: dict[str, Any] = {name: getattr(params, name) for name in Reading.__struct_fields__}
    settings["reasoning"] = params.reasoning or format.reasoning
    job = WriteJob(
        target="",
        format=params.format,
        purpose=purpose,
        sources={},
        sides=(),
        columns=columns,
        reading=Reading(**settings),
        pairs_at=params.pairs_at or format.pairs_at[0],
        verifier_fields=None if fields is None else tuple(fields),
        agent=params.agent,
        template=template,
        plugins=tuple(PLUGINS),
        has_tools=any(bool(rows[f"{side}has_tools"].any()) for side in sides),
        across_prompts=step.crosses_prompts,
    )
    return job, Taken(values, NEEDED.get(purpose, {}))


def _beside(
    params: Write,
    purpose: Purpose,
    pairs: bool,
    known: set[str],
    named: dict[str, NamedColumn],
) -> tuple[dict[str, str], dict[str, str]]:
    """The columns beside the messages: of each, what it is made of; and the table's column, of
    those that the table has.
    """
    columns: dict[str, str] = {}
    values: dict[str, str] = {}
    canonical = parts_in(params.format, purpose)
    for name, to in columns_of(params, purpose).items():
        columns[to] = name
        if name in canonical:
            continue
        if (column := table_column(name, pairs, known)) is not None:
            values[name] = column
        else:
            columns[to] = path_of(name, pairs, named)
    return columns, values


def _held(rows: pl.DataFrame, named: dict[str, NamedColumn]) -> set[str]:
    """The columns of these rows beside the built-in ones: named ones, and what stages made."""
    made = {name for columns in MADE.values() for name in columns}
    return held(named, {name for name in made if {name, f"chosen_{name}"} & set(rows.columns)})
