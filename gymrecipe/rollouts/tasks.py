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

from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import TASK_FIELD
from gymrecipe.rollouts.hashes import combine, parts


def with_task_key(
    rows: pl.DataFrame, occurrence: pl.Expr, group_by: str, num_repeats: int | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows with `task_key` (null where it is unclear), and the figures of the grouping."""
    if group_by == "consecutive" and num_repeats is not None:
        key = combine(4, pl.col("source"), (pl.col("place") - 1) // num_repeats)
    else:
        key = _auto(rows, occurrence)
        if group_by != "auto":
            named = combine(3, pl.col("group_value"))
            key = pl.when(pl.col("group_value").is_not_null()).then(named).otherwise(key)
    keyed = rows.with_columns(task_key=key)
    return keyed, _figures(keyed, group_by, num_repeats)


def _auto(rows: pl.DataFrame, occurrence: pl.Expr) -> pl.Expr:
    """The key of each row by its index, prompt and fields, or its own."""
    fields = [
        name
        for name in rows.columns
        if name.startswith(TASK_FIELD) and rows[name].null_count() < rows.height
    ]
    known = pl.col("prompt_key").is_not_null()
    prompt = pl.col("prompt_key").fill_null(0)
    by_prompt = combine(2, prompt)
    has_index = pl.col("index_key").is_not_null()
    if fields:
        split = _split(rows.filter(~has_index).select("prompt_key", *fields))
        place = (~has_index).cum_sum().cast(pl.Int64) - 1
        by_prompt = pl.lit(split).gather(pl.when(~has_index).then(place))
        known |= pl.any_horizontal(pl.col(fields).is_not_null())
    return (
        pl.when(has_index)
        .then(combine(1, pl.col("run"), pl.col("index_key"), prompt))
        .when(known)
        .then(by_prompt)
        .otherwise(combine(0, pl.col("id_hi"), pl.col("id_lo"), occurrence))
    )


def _split(rows: pl.DataFrame) -> pl.Series:
    """The prompt's key, split by the fields whose values differ in it; null where it is unclear."""
    fields = rows.columns[1:]
    shared = pl.col("prompt_key").is_not_null()
    differing = rows.select(
        "prompt_key",
        *fields,
        *(
            (pl.col(name).min() != pl.col(name).max())
            .over("prompt_key")
            .fill_null(False)
            .alias(f"differs_{name}")
            for name in fields
        ),
    )
    differs = {name: pl.col(f"differs_{name}") & shared for name in fields}
    parts = differing.select(
        "prompt_key",
        # Without a prompt nothing says that rows belong together, so every field has to agree.
        *(pl.when(differs[name] | ~shared).then(name).alias(name) for name in fields),
        incomplete=pl.any_horizontal(differs[name] & pl.col(name).is_null() for name in fields),
    )
    keys = (pl.col(name).fill_null(0) for name in ("prompt_key", *fields))
    parts = parts.with_columns(key=combine(2, *keys))
    return _resolved(parts, fields) if parts["incomplete"].any() else parts["key"]


def _resolved(parts: pl.DataFrame, fields: list[str]) -> pl.Series:
    """The keys, those of incomplete rows being that of the one task they agree with, else null."""
    parts = parts.with_row_index("at")
    unclear = parts.filter("incomplete").drop("key")
    tasks = (
        parts.filter(~pl.col("incomplete"))
        .join(unclear, on="prompt_key", how="semi")
        .unique(["prompt_key", "key"])
    )
    missing = pl.concat_list(pl.col(name).is_null() for name in fields)
    found = [
        _agreeing(alike, tasks, ["prompt_key", *_known(alike, fields)])
        for alike in unclear.with_columns(missing=missing).partition_by("missing")
    ]
    resolved = pl.concat(found).sort("at")
    return parts["key"].scatter(resolved["at"], resolved["key"])


def _known(alike: pl.DataFrame, fields: list[str]) -> list[str]:
    return [name for name in fields if not alike[name].null_count()]


def _agreeing(rows: pl.DataFrame, tasks: pl.DataFrame, known: list[str]) -> pl.DataFrame:
    """`at` and `key` of rows that know the same fields: that of the one task with their values."""
    single = tasks.group_by(known).agg(pl.col("key").first(), n=pl.len()).filter(pl.col("n") == 1)
    return rows.join(single, on=known, how="left").select("at", "key")


def _figures(rows: pl.DataFrame, group_by: str, num_repeats: int | None) -> dict[str, int]:
    """How the grouping came out, and how often its ways disagree."""
    figures = {
        "tasks": rows["task_key"].drop_nulls().n_unique(),
        "rollouts": rows.height,
        "unclear": rows["task_key"].null_count(),
    }
    prompt, index, task = (pl.col(name) for name in ("prompt_key", "index_key", "task_key"))
    has_prompt, has_index = prompt.is_not_null(), index.is_not_null()
    if rows["index_key"].null_count() < rows.height:
        of_index = combine(0, pl.col("run"), index)
        of_prompt = combine(0, pl.col("run"), prompt)
        figures["indices_with_several_prompts"] = _several(rows, has_index, of_index, prompt)
        both = has_index & has_prompt
        figures["prompts_with_several_indices"] = _several(rows, both, of_prompt, index)
        if rows["index_key"].null_count():
            by_index = _several(rows, has_prompt, of_prompt, has_index.cast(pl.UInt64))
            figures["prompts_with_and_without_index"] = by_index
        if rows["run"].min() != rows["run"].max() and group_by != "consecutive":
            alone = both if group_by == "auto" else both & pl.col("group_value").is_null()
            figures["prompts_in_several_runs"] = _several(rows, alone, prompt, pl.col("run"))
    by_prompt = has_prompt & ~has_index & task.is_not_null()
    figures["prompts_of_several_tasks"] = _several(rows, by_prompt, prompt, task)
    if group_by != "auto":
        figures["groups_with_several_prompts"] = _several(rows, task.is_not_null(), task, prompt)
    if group_by == "consecutive" and num_repeats is not None:
        sizes = rows["task_key"].value_counts()["count"]
        figures["incomplete_groups"] = int((sizes.cast(pl.Int64) < num_repeats).sum())
    return figures


def _several(rows: pl.DataFrame, among: pl.Expr, key: pl.Expr, value: pl.Expr) -> int:
    """How many keys have more than one value, null being one, in the rows that are meant."""
    keyed = rows.select(key=key, value=value, among=among)
    return sum(
        _several_of(keyed.lazy().filter(pl.col("among") & part).select("key", "value").collect())
        for part in parts("key", rows.height)
    )


def _several_of(keyed: pl.DataFrame) -> int:
    """By sorting: that takes less memory than a group for each key, of which there may be many."""
    order = keyed["key"].arg_sort()
    keys, values = (keyed.drop_in_place(name)[order] for name in ("key", "value"))
    change = keys[1:].eq_missing(keys[:-1]) & values[1:].ne_missing(values[:-1])
    return keys[1:].filter(change).n_unique()
