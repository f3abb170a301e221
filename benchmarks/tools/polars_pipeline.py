"""A Polars pipeline for each job.

    python benchmarks/tools/polars_pipeline.py pairs|sft|aggregate ROLLOUTS OUTPUT THRESHOLD

`scan_ndjson` stops at a line that is no JSON, so lines that do not end in a brace are left out
before they are decoded. Items of different kinds become one struct with all of their fields: the
rows hold the response's items filled up with nulls.
"""

from __future__ import annotations

import io
import sys
from itertools import islice

import polars as pl

LINES_TO_LEARN_FROM = 100


def learned(source: str) -> dict[str, pl.DataType]:
    """The type of each wanted part, from the first lines."""
    with open(source, "rb") as file:
        head = [line for line in islice(file, LINES_TO_LEARN_FROM) if line.endswith(b"}\n")]
    rows = pl.read_ndjson(io.BytesIO(b"".join(head)), infer_schema_length=None)
    input = rows["responses_create_params"].struct.field("input").dtype
    output = rows["response"].struct.field("output").dtype
    return {
        "responses_create_params": pl.Struct({"input": input}),
        "response": pl.Struct({"output": output, "status": pl.String}),
        "metadata": pl.Struct({"task_type": pl.String}),
    }


def scan(source: str, fields: dict[str, pl.DataType]) -> pl.LazyFrame:
    """These fields of the lines."""
    lines = pl.scan_lines(source, name="line").filter(pl.col("line").str.ends_with("}"))
    return lines.select(pl.col("line").str.json_decode(pl.Struct(fields))).unnest("line")


def usable(source: str) -> pl.LazyFrame:
    response = pl.col("response").struct
    return (
        scan(source, {"reward": pl.Float64(), **learned(source)})
        .filter(pl.col("reward").is_not_null(), response.field("status") != "incomplete")
        .select(
            "reward",
            task_type=pl.col("metadata").struct.field("task_type").fill_null("general"),
            prompt=pl.col("responses_create_params").struct.field("input"),
            output=response.field("output"),
        )
    )


def pairs(source: str, min_gap: float) -> pl.LazyFrame:
    text = pl.col("prompt").list.first().struct.field("content")
    ranked = (
        usable(source)
        .with_columns(text=text)
        .with_columns(
            place=pl.col("reward").rank("ordinal", descending=True).over("text"),
            n=pl.len().over("text"),
        )
    )
    worst = ranked.select(
        "text", place=pl.col("n") + 1 - pl.col("place"), rejected="output", reward_rejected="reward"
    )
    gap = pl.col("reward_chosen") - pl.col("reward_rejected")
    return (
        ranked.filter(pl.col("place") <= pl.col("n") // 2)
        .select("text", "place", "prompt", chosen="output", reward_chosen="reward")
        .join(worst, on=["text", "place"])
        .filter(gap >= min_gap - 1e-9)
        .drop("text", "place")
    )


def sft(source: str, min_reward: float) -> pl.LazyFrame:
    kept = usable(source).filter(pl.col("reward") >= min_reward)
    return kept.select("reward", "task_type", messages="output")


def aggregate(source: str, _: float) -> pl.LazyFrame:
    value = pl.col("value")
    return (
        scan(source, dict.fromkeys(("reward", "accuracy", "score"), pl.Float64()))
        .unpivot(variable_name="metric")
        .drop_nulls()
        .group_by("metric")
        .agg(count=pl.len(), mean=value.mean(), std=value.std(), min=value.min(), max=value.max())
    )


if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    make = {"pairs": pairs, "sft": sft, "aggregate": aggregate}[job]
    make(source, float(threshold)).sink_ndjson(target)
