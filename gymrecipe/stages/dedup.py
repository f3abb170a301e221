"""Dedup: keep one of several rollouts that say the same, or of tasks that ask the same."""

from __future__ import annotations

from typing import Annotated, Literal

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params, Reads
from gymrecipe.registry import stage

KEYS = {
    "line": ("id_hi", "id_lo"),
    "answer": ("task_key", "prompt_key", "answer_key"),
    "prompt": ("prompt_key",),
}


class Dedup(Params):
    """What counts as the same."""

    use: Literal["dedup"] = "dedup"
    same: Annotated[str, Reads("category", other_than=tuple(KEYS))] = "line"
    """`line`: equal bytes. `answer`: the same task and prompt, and the model said and called
    the same. `prompt`: of tasks, such as those of two runs; rows whose prompt is not recorded
    stay. Or a column, such as `extracted_answer`: the same task and prompt, and the same value
    there; rows without one stay."""
    keep: Literal["draw", "first", "last"] = "draw"
    """Which one stays: drawn, or the first or last that was read. Of lines that were verified or
    run again the last, with `same: _ng_rollout_index`."""


@stage(takes=("rollouts", "tasks"), version=1)
def dedup(rows: pl.LazyFrame, params: Dedup) -> pl.LazyFrame:
    """Keep one row of each set of duplicates, and reject the others as `duplicate`."""
    keys, order = keys_of(params), order_of(params)
    place = pl.col(order).rank("ordinal", descending=params.keep == "last").over(keys)
    # Without a task, a prompt or a value nothing says that two rows are the same.
    known = pl.col(keys[0]).is_not_null()
    if params.same not in KEYS:
        known &= pl.col(params.same).is_not_null()
    return rows.with_columns(reason=pl.when(known & (place > 1)).then(pl.lit("duplicate")))


def keys_of(params: Dedup) -> tuple[str, ...]:
    """The columns that duplicates have in common."""
    return KEYS.get(params.same, ("task_key", "prompt_key", params.same))


def order_of(params: Dedup) -> str:
    """The column by whose order one of them stays."""
    return "draw" if params.keep == "draw" else "row"
