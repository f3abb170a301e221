"""Jobs: what a write asks of the workers, as far as all its slices have it in common."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.formats.job import WriteJob
from gymrecipe.formats.template import Template
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.extra_columns import beside
from gymrecipe.planning.settings import NamedColumn
from gymrecipe.planning.steps import Step
from gymrecipe.registry import FORMATS, PLUGINS, Purpose
from gymrecipe.rollouts.chat import Reading
from gymrecipe.rollouts.columns import MADE

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
    columns = list(beside(step, named, _made(rows)))
    fields = params.verifier_fields
    settings: dict[str, Any] = {name: getattr(params, name) for name in Reading.__struct_fields__}
    settings["reasoning"] = params.reasoning or format.reasoning
    job = WriteJob(
        target="",
        format=params.format,
        purpose=purpose,
        sources={},
        sides=(),
        columns={each.to: each.path or each.name for each in columns},
        reading=Reading(**settings),
        pairs_at=params.pairs_at or format.pairs_at[0],
        verifier_fields=None if fields is None else tuple(fields),
        agent=params.agent,
        template=template,
        plugins=tuple(PLUGINS),
        has_tools=any(bool(rows[f"{side}has_tools"].any()) for side in sides),
        across_prompts=step.crosses_prompts,
    )
    values = {each.name: each.column for each in columns if each.column is not None}
    return job, Taken(values, NEEDED.get(purpose, {}))


def _made(rows: pl.DataFrame) -> set[str]:
    """The columns of these rows that stages made."""
    made = {name for columns in MADE.values() for name in columns}
    return {name for name in made if {name, f"chosen_{name}"} & set(rows.columns)}
