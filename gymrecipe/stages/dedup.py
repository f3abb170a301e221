"""Dedup: keep one of several rollouts that say the same."""

from __future__ import annotations

from typing import Literal

import polars as pl

from gymrecipe.registry import Params, stage


class Dedup(Params):
    """What counts as the same."""

    use: Literal["dedup"] = "dedup"
    same: Literal["line", "answer"] = "line"
    """`line`: equal bytes. `answer`: the same task, and the model said and called the same."""


@stage(takes="rollouts", version=1)
def dedup(rollouts: pl.LazyFrame, params: Dedup) -> pl.LazyFrame:
    """Keep one rollout of each set of duplicates, by draw, and reject the others as `duplicate`."""
    keys = ("id_hi", "id_lo") if params.same == "line" else ("task_key", "prompt_key", "answer_key")
    place = pl.col("draw").rank("ordinal").over(keys)
    unclear = pl.lit(False) if params.same == "line" else pl.col("task_key").is_null()
    return rollouts.with_columns(reason=pl.when((place > 1) & ~unclear).then(pl.lit("duplicate")))
