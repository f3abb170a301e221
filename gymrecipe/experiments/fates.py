"""Fates: where every line that was read ended, used or rejected once.

A line is used when a written example of any branch contains it. Otherwise it is rejected by the
latest stage, in recipe order, that it or a pair of it reached; at a tie the first reason by name.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from gymrecipe.experiments.store import writing

REJECTS, USED = "rejects.parquet", "used.parquet"
FATE = {"row": pl.UInt32, "stage": pl.Int64, "reason": pl.String}
USE = {"row": pl.UInt32, "side": pl.String, "output": pl.String, "at": pl.UInt64}
_WHERE = ["source", "line", "offset", "bytes"]
LINES = ["row", *_WHERE, "id_hi", "id_lo"]
"""The columns that say which line a rollout is."""


def leaving(rows: pl.DataFrame, stage: int) -> pl.DataFrame:
    """The fates (`row`, `stage`, `reason`) of the rollouts that leave here, alone or in pairs."""
    names = [name for name in ("row", "chosen_row", "rejected_row") if name in rows.columns]
    parts = [
        rows.select(row=name, stage=pl.lit(stage, pl.Int64), reason="reason")
        .drop_nulls("row")
        .cast({"row": pl.UInt32})
        for name in names
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=FATE)


def settle(fates: list[pl.DataFrame], used: pl.DataFrame) -> pl.DataFrame:
    """One fate for each rollout that is not used."""
    return (
        pl.concat([pl.DataFrame(schema=FATE), *fates])
        .join(used.select("row").unique(), on="row", how="anti")
        .sort("row", "stage", "reason", descending=[False, True, False])
        .unique("row", keep="first", maintain_order=True)
    )


def write_records(
    folder: Path,
    rows: pl.DataFrame,
    bad: pl.DataFrame,
    fates: pl.DataFrame,
    used: pl.DataFrame,
    stages: list[str],
    paths: list[str],
) -> int:
    """Write `rejects.parquet` (a row for each line not used) and `used.parquet` (a row for each
    side of each example). Gives the number of lines rejected.
    """
    lines = rows.select(LINES)
    names = pl.DataFrame(
        {"source": range(len(paths)), "path": paths},
        schema={"source": pl.UInt32, "path": pl.String},
    )
    at_stage = pl.col("stage").replace_strict(
        list(range(len(stages))), stages, return_dtype=pl.String
    )
    unused = fates.join(lines, on="row", how="left").with_columns(at_stage)
    unread = bad.select(*_WHERE, stage=pl.lit(stages[0]), reason="reason", id=pl.lit(""))
    rejects = (
        pl.concat([_identified(unused).select(unread.columns).cast(unread.schema), unread])
        .sort("source", "line")
        .join(names, on="source", how="left", maintain_order="left")
        .select(pl.col("path").alias("source"), *unread.columns[1:])
    )
    places = (
        _identified(used.join(lines, on="row", how="left"))
        .sort("output", "at", "side", "row")
        .join(names, on="source", how="left", maintain_order="left")
        .select("output", "side", row="at", source="path", line="line", offset="offset",
                bytes=pl.col("bytes").cast(pl.UInt64), id="id")
    )  # fmt: skip
    with writing(folder):
        rejects.write_parquet(folder / REJECTS)
        places.write_parquet(folder / USED)
    return rejects.height


def _identified(rows: pl.DataFrame) -> pl.DataFrame:
    halves = zip(rows["id_hi"], rows["id_lo"], strict=True)
    return rows.with_columns(
        id=pl.Series("id", [f"{hi:016x}{lo:016x}" for hi, lo in halves], dtype=pl.String)
    )
