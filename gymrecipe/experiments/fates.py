"""Fates: where every line that was read ended, used or rejected once.

A line is used when a written example of any branch contains it. Otherwise it is rejected by the
latest stage, in recipe order, that it or a pair of it reached; at a tie the first reason by name.
"""

from __future__ import annotations

import os
import sys
from array import array
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import msgspec

from gymrecipe.errors import DataError
from gymrecipe.experiments.disk import no_link, writing
from gymrecipe.experiments.manifest import REJECTS, USED
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import ROWS
from gymrecipe.rollouts.lookup import looked_up, together

GROUP_ROWS = 2**15
"""Rows that the files of records hold together."""

PART_ROWS = 2**22
"""Rollouts whose fates are settled together, which takes 30 bytes for each."""

STREAMED_ROWS = 2**14
"""Rows that Polars passes on at a time: several such parts for each core wait to be written."""

SPELLED_ROWS = 2**13
"""Identities that are spelled out at a time: as texts of Python they take three times the memory.
"""

LINES = ["row", "source", "line", "offset", "bytes", "id_hi", "id_lo"]
"""The columns of the rollouts that are needed for the records."""

_LINES = 2**44
"""More lines than a file has."""

Row = TypeVar("Row", bound=msgspec.Struct)


def table(path: Path) -> pl.LazyFrame:
    """One of a version's tables. Raises OSError where it is no file: Polars waits for a pipe."""
    os.close(no_link(str(path), os.O_RDONLY))
    try:
        str(path).encode()
    except UnicodeEncodeError:  # Polars opens no such path
        return pl.scan_parquet(BytesIO(path.read_bytes()))
    return pl.scan_parquet(path, glob=False)


def rows_of(path: Path, kind: type[Row], *wanted: pl.Expr) -> list[Row]:
    """The wanted rows of one of a version's tables, or all of them, with the columns of a kind; one
    with a default need not be there. Raises DataError where it is not the table that was written.
    """
    try:
        found = table(path).filter(pl.lit(True), *wanted)
        names = found.collect_schema().names()
        rows = found.select(name for name in kind.__struct_fields__ if name in names).collect()
        return msgspec.convert(list(rows.iter_rows(named=True)), list[kind])  # type: ignore[valid-type]
    except (OSError, pl.exceptions.PolarsError, msgspec.ValidationError):
        raise DataError(
            f"{path}: missing, or not the table that was written. See what `verify` says."
        ) from None


def no_fates() -> pl.DataFrame:
    """What a fate has; where some have a `cause` beside it, their frame has that column, too."""
    schema = {"row": pl.UInt32(), "stage": pl.UInt16(), "reason": pl.Categorical()}
    return pl.DataFrame(schema=schema)


def no_uses() -> pl.DataFrame:
    """What a use has: which side of an example the rollout is (empty where it has none), in which
    file of the version, and at which place there (counted from 0; none in a file of figures).
    """
    name = pl.Categorical()
    schema = {"row": pl.UInt32(), "side": name, "output": name, "at": pl.UInt32()}
    return pl.DataFrame(schema=schema)


def leaving(rows: pl.DataFrame, stage: int) -> pl.DataFrame:
    """The fates (`row`, `stage`, `reason`) of the rollouts that leave here, alone or in pairs."""
    if "rows" in rows.columns:
        rows = rows.select("reason", row="rows").explode("row")
    names = [name for name in ROWS if name in rows.columns]
    if not names:
        return no_fates()
    parts = [rows.select(row=name, stage=pl.lit(stage), reason="reason") for name in names]
    return pl.concat(parts).drop_nulls("row").cast(no_fates().schema)


def rollouts_of(rows: pl.DataFrame) -> pl.Series:
    """Which rollouts rows are of, each once (`row`)."""
    if "rows" in rows.columns:
        rows = rows.select(row="rows").explode("row")
    sides = [rows[name].alias("row") for name in ROWS if name in rows.columns]
    return sides[0] if len(sides) == 1 else pl.concat(sides).unique(maintain_order=True)


def refused(stage: int, lost: pl.DataFrame) -> pl.DataFrame:
    """The fates of rollouts that a write could not write, with their reasons and causes."""
    return lost.with_columns(stage=pl.lit(stage)).cast(no_fates().schema)


def uses(rows: pl.DataFrame) -> pl.DataFrame:
    """The uses of rollouts by what a write wrote."""
    schema = no_uses().schema
    return rows.select(schema.names()).cast(schema)


def settle(fates: list[pl.DataFrame], used: pl.DataFrame) -> pl.DataFrame:
    """One fate for each rollout that is not used, in their order."""
    known = pl.concat([no_fates(), *fates], how="diagonal").lazy()
    after = int(known.select(pl.col("row").max().fill_null(0)).collect().item()) + 1
    return pl.concat(
        _settled(
            known.filter(here := pl.col("row").is_between(start, start + PART_ROWS - 1)),
            used.lazy().filter(here),
        )
        for start in range(0, after, PART_ROWS)
    )


def _settled(fates: pl.LazyFrame, used: pl.LazyFrame) -> pl.DataFrame:
    by = [name for name in ("row", "stage", "reason", "cause") if name in fates.collect_schema()]
    return (
        fates.join(used.select("row").unique(), on="row", how="anti")
        .sort(by, descending=[name == "stage" for name in by], nulls_last=True)
        .unique("row", keep="first", maintain_order=True)
        .collect()
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
    """Write `rejects.parquet` (a row for each line not used, with the column `cause` only where one
    has a cause) and `used.parquet` (a row for each side of each example), as the lines lie. Gives
    the number of lines rejected.
    """
    has_causes = "cause" in fates.columns and fates["cause"].null_count() < fates.height
    files = pl.Series(paths, dtype=pl.String)
    where = _where(rows, files)
    names = pl.Series(stages, dtype=pl.String)
    unused = fates.lazy().select(
        **where,
        stage=looked_up(names, pl.col("stage")),
        reason=pl.col("reason").cast(pl.String),
        id=_identity(rows),
        **({"cause": pl.col("cause").cast(pl.String).fill_null("")} if has_causes else {}),
        at=looked_up(rows["source"], pl.col("row")).cast(pl.UInt64) * _LINES + where["line"],
    )
    unread = (
        bad.lazy()  # in file order
        .select(
            "line", "offset", "bytes", pl.col("reason").cast(pl.String),
            source=looked_up(files, pl.col("source")),
            stage=pl.lit(stages[0]),
            id=pl.lit(""),
            cause=pl.lit(""),
            at=pl.col("source").cast(pl.UInt64) * _LINES + pl.col("line"),
        )
        .select(unused.collect_schema().names())
    )  # fmt: skip
    rejects = unused.merge_sorted(unread, key="at").drop("at")
    places = (
        _in_order(used)
        .lazy()
        .select(
            pl.col("output", "side").cast(pl.String),
            row=pl.col("at").cast(pl.UInt64),
            **where,
            id=_identity(rows),
        )
    )
    with writing(folder), pl.Config(streaming_chunk_size=STREAMED_ROWS):
        rejects.sink_parquet(folder / REJECTS, row_group_size=GROUP_ROWS)
        places.sink_parquet(folder / USED, row_group_size=GROUP_ROWS)
    return fates.height + bad.height


def _in_order(used: pl.DataFrame) -> pl.DataFrame:
    """By file, place there, side and rollout."""
    parts = []
    sizes = used["output"].value_counts().sort("output")
    for files in together(sizes.iter_rows(), PART_ROWS):
        there = used.filter(pl.col("output").is_in(files))
        at = pl.col("at").fill_null(0)
        for start in range(0, 1 + int(there.select(at.max()).item()), PART_ROWS):
            part = there.filter(at.is_between(start, start + PART_ROWS - 1))
            parts.append(part.sort("output", "at", "side", "row"))
    return pl.concat([used.clear(), *parts])


def _where(rows: pl.DataFrame, files: pl.Series) -> dict[str, pl.Expr]:
    """Where the line of each rollout is."""
    row = pl.col("row")
    return {
        "source": looked_up(files, looked_up(rows["source"], row)),
        **{n: looked_up(rows[n], row).cast(pl.UInt64) for n in ("line", "offset", "bytes")},
    }


def _identity(rows: pl.DataFrame) -> pl.Expr:
    """The two halves of each rollout's identity as 32 hexadecimal digits."""

    def digits(row: pl.Series) -> pl.Series:
        halves = array("Q", bytes(16 * len(row)))
        halves[::2], halves[1::2] = (array("Q", rows[n][row]) for n in ("id_hi", "id_lo"))
        if sys.byteorder == "little":
            halves.byteswap()
        text = halves.tobytes().hex()
        ids = [text[start : start + 32] for start in range(0, len(text), 32)]
        return pl.Series(ids, dtype=pl.String)

    def sliced(row: pl.Series) -> pl.Series:
        starts = range(0, max(len(row), 1), SPELLED_ROWS)
        return pl.concat([digits(row.slice(start, SPELLED_ROWS)) for start in starts])

    return pl.col("row").map_batches(sliced, pl.String, is_elementwise=True)
