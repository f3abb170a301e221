"""The data files of a version: rows through a format into shards, in order, each with its hash."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from gymrecipe.beside import columns_of, held, path_of, table_column
from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.shards import Shards
from gymrecipe.experiments.spool import plain
from gymrecipe.experiments.store import writing
from gymrecipe.formats.custom import PAIR, SINGLE
from gymrecipe.formats.encode import Encoded, Job, Side, encode
from gymrecipe.registry import PLUGINS, Purpose
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.settings import NamedColumn
from gymrecipe.stages.write import Write

SLICE_BYTES = 8 * 2**20
"""Source bytes that one slice of a write reads."""

SLICE_ROWS = 20_000


@dataclass
class Written:
    """What one write made.

    `used` (`row`, `side`, `output`, `at`) and `rejected` (row, reason) speak of rollouts,
    `reasons` of the rows of the write's own unit; `written` are the rows that were written.
    """

    outputs: list[Output]
    written: pl.DataFrame
    used: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    example: str | None = None

    @property
    def rows(self) -> int:
        """How many examples there are."""
        return sum(output.rows for output in self.outputs)


def write_data(
    rows: pl.DataFrame,
    params: Write,
    purpose: Purpose,
    sources: list[Source],
    folder: Path,
    inside: str,
    engine: Map,
    across_prompts: bool,
    named: dict[str, NamedColumn],
    progress: Callable[[int], None],
) -> Written:
    """Write the rows to `folder / inside`, the rows of each split to its own files.

    Raises ChangedError if a source is not what it was when it was scanned, MachineError where the
    disk fails.
    """
    written = Written([], rows.clear())
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    sides = ("chosen_", "rejected_") if "chosen_row" in rows.columns else ("",)
    job = _job(rows, params, purpose, sides, across_prompts, named)
    kept = []
    with plain(sources, rows, sides, folder) as (paths, rows):
        for split in ("train", "validation"):
            part = rows.filter(pl.col("split") == split)
            shards = Shards(target, inside, split, params)
            slices = list(_slices(part, sides))
            jobs = (_filled(job, piece, sides, paths, named) for piece in slices)
            size = sum(int(part[f"{side}bytes"].sum()) for side in sides)
            results: Iterator[Encoded] = engine(encode, jobs, size)
            for piece, result in zip(slices, results, strict=True):
                places = shards.add(result)
                if written.example is None and result.data:
                    written.example = result.data.split(b"\n", 1)[0].decode()
                kept.append(_account(written, piece, sides, result, places))
                progress(piece.height)
            written.outputs += shards.close(written.used)
    written.written = pl.concat(kept) if kept else rows.clear()
    return written


def write_metrics(rows: pl.DataFrame, entered: pl.Series, folder: Path, inside: str) -> Written:
    """Write a table of metrics as JSON lines, a metric each; it uses every row that entered."""
    encoder = msgspec.json.Encoder()
    lines = [encoder.encode(row) for row in rows.drop("split").iter_rows(named=True)]
    data = b"".join(line + b"\n" for line in lines)
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        (target / "metrics.jsonl").write_bytes(data)
    output = Output(
        f"{inside}/metrics.jsonl", rows.height, len(data), hashlib.sha256(data).hexdigest()
    )
    used = pl.DataFrame(
        {"row": entered, "side": "", "output": output.path, "at": None},
        schema={"row": pl.UInt32, "side": pl.String, "output": pl.String, "at": pl.UInt64},
    )
    return Written([output], rows, used=[used], example=lines[0].decode() if lines else None)


def _job(
    rows: pl.DataFrame,
    params: Write,
    purpose: Purpose,
    sides: tuple[str, ...],
    across_prompts: bool,
    named: dict[str, NamedColumn],
) -> Job:
    pairs = len(sides) == 2
    columns: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    canonical = (PAIR if pairs else SINGLE) if params.format == "custom" else {}
    for name, to in columns_of(params, purpose).items():
        if name in canonical:
            columns[name] = to
        elif table_column(name, pairs, held(named)) is not None:
            columns[name] = to
            values[name] = []
        else:
            columns[path_of(name, pairs, named)] = to
    return Job(
        format=params.format,
        purpose=purpose,
        sources=(),
        sides=(),
        columns=columns,
        values=values,
        plugins=tuple(PLUGINS),
        has_tools=any(bool(rows[f"{side}has_tools"].any()) for side in sides),
        across_prompts=across_prompts,
    )


def _filled(
    job: Job,
    piece: pl.DataFrame,
    sides: tuple[str, ...],
    paths: tuple[str, ...],
    named: dict[str, NamedColumn],
) -> Job:
    values = {}
    for name in job.values:
        column = table_column(name, len(sides) == 2, held(named)) or name
        series = piece[column]
        if column.endswith(("task_key", "prompt_key")):
            values[name] = [None if key is None else f"{key:016x}" for key in series]
        else:
            values[name] = series.to_list()
    filled = {
        name: array(code, piece[name])
        for side in sides
        for name, code in (
            (f"{side}source", "I"),
            (f"{side}offset", "Q"),
            (f"{side}bytes", "Q"),
            (f"{side}id_hi", "Q"),
            (f"{side}id_lo", "Q"),
        )
    }
    return Job(
        format=job.format,
        purpose=job.purpose,
        sources=paths,
        sides=tuple(
            Side(*(filled[f"{side}{n}"] for n in ("source", "offset", "bytes", "id_hi", "id_lo")))
            for side in sides
        ),
        columns=job.columns,
        values=values,
        plugins=job.plugins,
        has_tools=job.has_tools,
        across_prompts=job.across_prompts,
    )


def _slices(rows: pl.DataFrame, sides: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    """The rows in runs of about SLICE_BYTES of source."""
    if not rows.height:
        return
    size = pl.sum_horizontal(pl.col(f"{side}bytes").cast(pl.UInt64) for side in sides)
    number = (size.cum_sum() - size) // SLICE_BYTES + pl.int_range(pl.len()) // SLICE_ROWS
    starts = rows.select(number.rle_id()).to_series().rle().struct.field("len")
    start = 0
    for length in starts:
        yield rows.slice(start, length)
        start += length


def _account(
    written: Written,
    piece: pl.DataFrame,
    sides: tuple[str, ...],
    result: Encoded,
    places: pl.DataFrame,
) -> pl.DataFrame:
    """Note which rollouts the slice used, and why others could not be written; the rows that
    were written.
    """
    usable = pl.Series(result.lengths, dtype=pl.UInt64) > 0
    kept = piece.filter(usable)
    for side in sides:
        rows = kept.select(row=f"{side}row")
        written.used.append(rows.hstack(places).with_columns(side=pl.lit(side.removesuffix("_"))))
    for index, (reason, at) in result.reasons.items():
        written.reasons.append(reason)
        if len(sides) == 1:
            written.rejected.append((piece["row"][index], reason))
            continue
        both = reason in ("prompts_differ", "identical_answers")
        for number, side in enumerate(sides):
            said = reason if both or number == at else "partner_rejected"
            written.rejected.append((piece[f"{side}row"][index], said))
    return kept
