"""Tasks: which rollouts answer the same task, the hardest question in the data.

Never adjacency (lines are in completion order), never Python's salted `hash()`, never the text of
all parameters (seeds differ between repeats). `auto` goes by what a line has:

- run + agent + `_ng_task_index`, and the same prompt: some agents put a random first observation
  into the prompt of one task (blackjack);
- else the prompt, split by fields that name the task where their values differ: word for word the
  same prompt can be three tasks (newton_bench). A missing value agrees with a single one; against
  several the task is unclear, and its key is null;
- else a task of its own.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from gymrecipe.rollouts.hashes import combine

GroupBy = Literal["auto", "consecutive"]


def with_task_key(
    rows: pl.DataFrame, group_by: str, num_repeats: int | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows with `task_key` (null where it is unclear), and the figures of the grouping."""
    fields = [
        name
        for name in rows.columns
        if name.startswith("task_field_") and rows[name].null_count() < rows.height
    ]
    if group_by == "consecutive" and num_repeats is not None:
        keyed = _consecutive(rows, num_repeats)
    else:
        keyed = _auto(rows, fields)
        if group_by != "auto":
            named = combine(3, pl.col("group_value"))
            keyed = keyed.with_columns(
                task_key=pl.when(pl.col("group_value").is_not_null())
                .then(named)
                .otherwise("task_key")
            )
    return keyed, _figures(keyed, group_by, num_repeats)


def _consecutive(rows: pl.DataFrame, num_repeats: int) -> pl.DataFrame:
    group = (pl.col("place") - 1) // num_repeats
    return rows.with_columns(task_key=combine(4, pl.col("source"), group))


def _auto(rows: pl.DataFrame, fields: list[str]) -> pl.DataFrame:
    own = combine(0, pl.col("id_hi"), pl.col("id_lo"), pl.col("occurrence"))
    prompt = pl.col("prompt_key").fill_null(0)
    indexed = combine(1, pl.col("run"), pl.col("index_key"), prompt)
    has_index = pl.col("index_key").is_not_null()
    if not fields:
        by_prompt = combine(2, prompt)
        known = pl.col("prompt_key").is_not_null()
        return rows.with_columns(
            task_key=pl.when(has_index).then(indexed).when(known).then(by_prompt).otherwise(own)
        )
    without_index = rows.filter(~has_index).select("row", "prompt_key", *fields)
    split = _split(without_index, fields)
    return (
        rows.join(split, on="row", how="left", maintain_order="left")
        .with_columns(
            task_key=pl.when(has_index)
            .then(indexed)
            .when(pl.col("prompt_key").is_null() & pl.all_horizontal(pl.col(fields).is_null()))
            .then(own)
            .otherwise("split_key")
        )
        .drop("split_key")
    )


def _split(rows: pl.DataFrame, fields: list[str]) -> pl.DataFrame:
    """`row` and `split_key`: the prompt's key, split by the fields whose values differ in it."""
    shared = pl.col("prompt_key").is_not_null()
    differing = rows.with_columns(
        # Without a prompt nothing says that rows belong together, so every field has to agree.
        pl.when((pl.col(name).drop_nulls().n_unique().over("prompt_key") > 1) | ~shared)
        .then(pl.col(name))
        .alias(f"part_{name}")
        for name in fields
    )
    splits = [
        ((pl.col(name).drop_nulls().n_unique().over("prompt_key") > 1) & pl.col(name).is_null())
        for name in fields
    ]
    parts = [f"part_{name}" for name in fields]
    key = combine(
        2,
        pl.col("prompt_key").fill_null(0),
        *(pl.col(part).fill_null(0) for part in parts),
    )
    keyed = differing.with_columns(incomplete=shared & pl.any_horizontal(splits)).with_columns(
        split_key=key
    )
    unclear = keyed.filter("incomplete")
    if unclear.is_empty():
        return keyed.select("row", "split_key")
    return keyed.select("row", "split_key").update(
        _resolve(keyed, unclear, parts), on="row", include_nulls=True
    )


def _resolve(keyed: pl.DataFrame, unclear: pl.DataFrame, parts: list[str]) -> pl.DataFrame:
    """The split key of each incomplete row: that of the one task it agrees with, else null."""
    complete = (
        keyed.filter(~pl.col("incomplete"))
        .join(unclear.select("prompt_key").unique(), on="prompt_key", how="semi")
        .unique(["prompt_key", "split_key"])
    )
    tasks: dict[int, list[dict[str, int]]] = {}
    for task in complete.iter_rows(named=True):
        tasks.setdefault(task["prompt_key"], []).append(task)
    keys = []
    for row in unclear.iter_rows(named=True):
        agreeing = [
            task["split_key"]
            for task in tasks.get(row["prompt_key"], [])
            if all(row[part] is None or row[part] == task[part] for part in parts)
        ]
        keys.append(agreeing[0] if len(agreeing) == 1 else None)
    return pl.DataFrame(
        {"row": unclear["row"], "split_key": keys},
        schema={"row": keyed.schema["row"], "split_key": pl.UInt64},
    )


def _figures(rows: pl.DataFrame, group_by: str, num_repeats: int | None) -> dict[str, int]:
    """How the grouping came out, and how often its ways disagree."""
    figures = {
        "tasks": rows["task_key"].drop_nulls().n_unique(),
        "rollouts": rows.height,
        "unclear": rows["task_key"].null_count(),
    }
    indexed = rows.filter(pl.col("index_key").is_not_null())
    if not indexed.is_empty():
        one_index = indexed.group_by("run", "index_key").agg(pl.col("prompt_key").n_unique())
        figures["indices_with_several_prompts"] = one_index.filter(pl.col("prompt_key") > 1).height
        known = indexed.filter(pl.col("prompt_key").is_not_null())
        one_prompt = known.group_by("run", "prompt_key").agg(pl.col("index_key").n_unique())
        figures["prompts_with_several_indices"] = one_prompt.filter(pl.col("index_key") > 1).height
    one_prompt = (
        rows.filter(pl.col("prompt_key").is_not_null() & pl.col("index_key").is_null())
        .group_by("prompt_key")
        .agg(pl.col("task_key").drop_nulls().n_unique())
    )
    figures["prompts_of_several_tasks"] = one_prompt.filter(pl.col("task_key") > 1).height
    groups = rows.group_by("task_key").agg(pl.len(), pl.col("prompt_key").n_unique())
    if group_by != "auto":
        figures["groups_with_several_prompts"] = groups.filter(pl.col("prompt_key") > 1).height
    if group_by == "consecutive" and num_repeats is not None:
        figures["incomplete_groups"] = groups.filter(pl.col("len") < num_repeats).height
    return figures
