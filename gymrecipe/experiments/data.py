"""The data files of a version: rows through a format into shards, in order, each with its hash."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec.structs import replace

from gymrecipe.beside import columns_of, held, path_of, table_column
from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.shards import Shards
from gymrecipe.experiments.spool import plain
from gymrecipe.experiments.store import writing
from gymrecipe.formats.custom import parts
from gymrecipe.formats.encode import encode
from gymrecipe.formats.job import Encoded, Job, Side
from gymrecipe.formats.template import Template
from gymrecipe.registry import FORMATS, PLUGINS, Purpose
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.messages import Reading
from gymrecipe.settings import NamedColumn
from gymrecipe.stages.write import Write

SLICE_BYTES = 8 * 2**20
"""Source bytes that one slice of a write reads."""

SLICE_ROWS = 20_000


class Written(msgspec.Struct):
    """What one write made.

    `used` (`row`, `side`, `output`, `at`) and `rejected` (row, reason) speak of rollouts,
    `reasons` of the rows of the write's own unit; `written` are the rows that were written;
    `longest` is the length of the longest record, `shows` all the keys and types that records have.
    """

    outputs: list[Output]
    written: pl.DataFrame
    used: list[pl.DataFrame] = []
    rejected: list[tuple[int, str]] = []
    reasons: list[str] = []
    example: str | None = None
    longest: int = 0
    shows: set[str] = set()

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
    template: Template | None,
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
    job = _job(rows, params, purpose, sides, across_prompts, named, template)
    file = params.file or FORMATS[params.format].files[0]
    kept = [rows.clear()]
    read = (*sides, "input_") if "input_source" in rows.columns else sides
    with plain(sources, rows, read, folder) as (paths, rows):
        for split in ("train", "validation"):
            part = _only(rows, rows["split"] == split)
            strict = params.order == "strict"
            shards = Shards(target, inside, split, file, params.shard_rows, strict)
            slices = list(_slices(part, sides))
            of_split = replace(job, sources=paths, split=split)
            filled = _filled(of_split, slices, target, sides, named)
            size = sum(int(part[f"{side}bytes"].sum()) for side in sides)
            usable = [pl.Series([], dtype=pl.Boolean)]
            with writing(target):
                results: Iterator[Encoded] = engine(encode, filled, size)
                for piece, result in zip(slices, results, strict=True):
                    usable.append(_account(written, piece, sides, result, shards.add(result)))
                    progress(piece.height)
            written.outputs += shards.close(written.used)
            kept.append(_only(part, pl.concat(usable)))
    written.written = pl.concat(kept)
    return written


def _only(rows: pl.DataFrame, keep: pl.Series) -> pl.DataFrame:
    return rows if keep.all() else rows.filter(keep)  # which copies them


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


OWN = {
    "kto": {"label": "label"},
    "buffer": {"reward": "reward"},
    "reward_model": {"margin": "gap"},
}
"""What a purpose needs of the table, and the column it is."""

KEYS = ("task_key", "prompt_key")
"""Columns of 64 bits, which are written as 16 hexadecimal digits: not every reader has such
integers.
"""


def _job(
    rows: pl.DataFrame,
    params: Write,
    purpose: Purpose,
    sides: tuple[str, ...],
    across_prompts: bool,
    named: dict[str, NamedColumn],
    template: Template | None,
) -> Job:
    """What all slices have in common; `values` and `own` have no rows yet."""
    pairs, known = len(sides) == 2, _held(rows, named)
    columns: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    canonical = parts(pairs) if params.format == "custom" else {}
    for name, to in columns_of(params, purpose).items():
        if name in canonical:
            columns[name] = to
        elif table_column(name, pairs, known) is not None:
            columns[name] = to
            values[name] = []
        else:
            columns[path_of(name, pairs, named)] = to
    format = FORMATS[params.format]
    fields = params.verifier_fields
    return Job(
        target="",
        format=params.format,
        purpose=purpose,
        sources=(),
        sides=(),
        columns=columns,
        values=values,
        own={name: [] for name in OWN.get(purpose, {})},
        reading=Reading(
            developer=params.developer,
            system=params.system,
            reasoning=params.reasoning or format.reasoning,
            ending=params.ending,
            unanswered_calls=params.unanswered_calls,
            missing_tools=params.missing_tools,
            refusals=params.refusals,
            truncated=params.truncated,
            token_ids=params.token_ids,
            prompt_from=params.prompt_from,
        ),
        pairs_at=params.pairs_at or format.pairs_at[0],
        verifier_fields=None if fields is None else tuple(fields),
        agent=params.agent,
        template=template,
        plugins=tuple(PLUGINS),
        has_tools=any(bool(rows[f"{side}has_tools"].any()) for side in sides),
        across_prompts=across_prompts,
    )


def _filled(
    job: Job,
    slices: list[pl.DataFrame],
    target: Path,
    sides: tuple[str, ...],
    named: dict[str, NamedColumn],
) -> Iterator[Job]:
    """The job of each slice."""
    first = 0
    known = _held(slices[0], named) if slices else set()
    columns = {name: table_column(name, len(sides) == 2, known) for name in job.values}
    for number, piece in enumerate(slices):
        yield replace(
            job,
            target=str(target / f".part-{job.split}-{number:06d}"),
            sides=tuple(_side(piece, side) for side in sides),
            inputs=_side(piece, "input_") if "input_source" in piece.columns else None,
            values={name: _values(piece, column or name) for name, column in columns.items()},
            own={name: piece[OWN[job.purpose][name]].to_list() for name in job.own},
            first=first,
        )
        first += piece.height


def _held(rows: pl.DataFrame, named: dict[str, NamedColumn]) -> set[str]:
    return held(named, "tasks" if "rows" in rows.columns else "rollouts")


def _side(piece: pl.DataFrame, side: str) -> Side:
    def column(name: str, code: str) -> array[int]:
        return array(code, piece[f"{side}{name}"].fill_null(0))  # no input row has no bytes

    return Side(
        source=column("source", "I"),
        offset=column("offset", "Q"),
        bytes=column("bytes", "Q"),
        id_hi=column("id_hi", "Q"),
        id_lo=column("id_lo", "Q"),
    )


def _values(piece: pl.DataFrame, column: str) -> list[Any]:
    if column.endswith(KEYS):
        return [None if key is None else f"{key:016x}" for key in piece[column]]
    return piece[column].to_list()


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
) -> pl.Series:
    """Note which rollouts the slice used, and why others could not be written; which of its rows
    were written.
    """
    written.longest = max(written.longest, max(result.lengths, default=0))
    written.shows.update(*result.shapes)
    written.example = written.example or result.example
    usable = pl.Series(result.lengths, dtype=pl.UInt64) > 0
    of_tasks = "rows" in piece.columns
    for side in sides:
        rows = piece.select(row="rows" if of_tasks else f"{side}row").filter(usable)
        name = pl.lit(side.removesuffix("_"), pl.Categorical())
        used = rows.hstack(places).with_columns(side=name)
        written.used.append(used.explode("row") if of_tasks else used)
    for index, (reason, at) in result.reasons.items():
        written.reasons.append(reason)
        if len(sides) == 1:
            of_row = piece["rows"][index] if of_tasks else [piece["row"][index]]
            written.rejected += [(row, reason) for row in of_row]
            continue
        both = reason in ("prompts_differ", "identical_answers", "parted_by_environment")
        for number, side in enumerate(sides):
            said = reason if both or number == at else "partner_rejected"
            written.rejected.append((piece[f"{side}row"][index], said))
    return usable
