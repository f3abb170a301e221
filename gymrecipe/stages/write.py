"""Write: which format the rows become, in what order, and which are held out."""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import Field, field_validator

from gymrecipe.registry import FORMATS, Params, Purpose, stage
from gymrecipe.rollouts.hashes import uniform


class Write(Params):
    """How the rows that arrive become files."""

    use: Literal["write"] = "write"
    format: str = "messages"
    """What the trainer reads (`gymrecipe formats` lists them)."""
    purpose: Purpose | None = None
    """What the file is for; by default `sft` for rollouts and `dpo` for pairs."""
    file: Literal["jsonl", "parquet"] = "jsonl"
    """The kind of file."""
    shard_rows: Annotated[int, Field(ge=1)] | None = None
    """The most rows in one file; more become train-00000-of-00003.jsonl and so on."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of prompts held out as validation. A prompt held out in one branch or recipe is
    held out in all, and a larger share holds out more of them, never others."""
    order: Literal["source", "shuffled"] = "source"
    """`source`: as the lines stand (a pair where its chosen line stands); `shuffled`: by draw."""
    columns: dict[str, str | None] | list[str] = {}
    """What stands beside the messages, as `source: name`. Renames the columns that are there
    (`reward_gap: quality_difference`), leaves one out (`task_type: null`), and adds fields of the
    line (`metadata.category: category`). A list adds fields under their own names. With
    `format: custom` these are all the columns."""
    seed: int = 0
    """What the split is drawn with."""

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"should be one of {', '.join(sorted(FORMATS))}")
        return value


@stage(takes=("rollouts", "pairs", "metrics"), makes="nothing", version=1)
def write(rows: pl.LazyFrame, params: Write) -> pl.LazyFrame:
    """Write the rows as `train` and `validation` in a trainer's format.

    Rejects what cannot become a right example, each with its own reason (see `docs/messages.md`);
    when one side of a pair cannot, the other is `partner_rejected`.
    """
    columns = rows.collect_schema().names()
    pairs = "chosen_row" in columns
    if not pairs and "row" not in columns:
        return rows.with_columns(split=pl.lit("metrics"))
    key = pl.coalesce("prompt_key", "task_key", (pl.col("draw") * 2**53).cast(pl.UInt64))
    held_out = uniform(key, params.seed, "split") < params.validation_fraction
    order = ["chosen_row", "rejected_row"] if pairs else ["row"]
    if params.order == "shuffled":
        order = ["draw", *(["rejected_draw"] if pairs else []), *order]
    return rows.with_columns(
        split=pl.when(held_out).then(pl.lit("validation")).otherwise(pl.lit("train")),
        reason=pl.lit(None, pl.String),
    ).sort(order)
