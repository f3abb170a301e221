"""The data files of a version: rows through a format into shards, in order, each with its hash."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from gymrecipe.experiments.disk import writing
from gymrecipe.experiments.jobs import job_of
from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.reordered import as_they_lie, memory, placed
from gymrecipe.experiments.shards import Shards
from gymrecipe.experiments.slices import slices
from gymrecipe.experiments.spool import plain
from gymrecipe.experiments.written import WriteResult, told_once
from gymrecipe.formats.custom import parts_in
from gymrecipe.formats.encode import encode
from gymrecipe.formats.job import Encoded, Fault, WriteJob
from gymrecipe.formats.parquet import Kind, widest
from gymrecipe.formats.shapes import as_floats, mixed
from gymrecipe.formats.split_types import apart
from gymrecipe.formats.template import Template
from gymrecipe.lazy_polars import pl
from gymrecipe.planning.settings import NamedColumn
from gymrecipe.planning.steps import Step
from gymrecipe.rollouts.columns import INPUT, ROWS, SPLIT
from gymrecipe.rollouts.engine import Advance, Map
from gymrecipe.rollouts.files import Source
from gymrecipe.stages.write import Write

FAR = 0.5
"""Of inputs that take more than this share of the memory, the system may have forgotten what was
read first when it is read again. Reading at random what it still has costs nothing.
"""


def write_data(
    step: Step,
    rows: pl.DataFrame,
    named: dict[str, NamedColumn],
    template: Template | None,
    sources: list[Source],
    folder: Path,
    inside: str,
    engine: Map,
    advance: Advance,
) -> WriteResult:
    """Write the rows that came to a write into `folder / inside`, those of each split into files of
    their own. `template` is the chat template of a write that renders.

    Raises ChangedError if a source is not what it was when it was scanned, MachineError where the
    disk fails.
    """
    params = step.write
    written = WriteResult([], rows.clear())
    sides = tuple(side for name, side in ROWS.items() if name in rows.columns)
    job, taken = job_of(step, rows, sides, named, template)
    came = []
    causes: dict[Fault, Fault] = {}
    on_disk = sum(source.size for source in sources)
    read = (*sides, INPUT) if f"{INPUT}source" in rows.columns else sides
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        with plain(sources, rows, read, folder) as (paths, rows):
            for split in ("train", "validation"):
                part = _only(rows, rows[SPLIT] == split)
                strict = params.order == "strict"
                shards = Shards(target, inside, split, params.written_as, params.shard_rows, strict)
                size = sum(int(part[f"{side}bytes"].sum()) for side in sides)
                far = params.order == "shuffled" and max(size, on_disk) > FAR * memory()
                order = as_they_lie(part, sides[0]) if far else None
                here = replace(job, sources=dict(enumerate(paths)), split=split)
                jobs = slices(here, taken, part, sides, target, size, order)
                results = _watched(engine(encode, jobs, size), advance)
                if order is not None:
                    results = placed(results, order, size, target, split)
                came.append((part, shards, *_put_in(shards, results, written, causes)))
        kinds = _alike([shards for _, shards, *_ in came], job, params, written)
        kept = []
        for part, shards, usable, faults in came:
            outputs, places = shards.close(kinds)
            written.outputs += outputs
            written.is_late |= shards.is_late
            written.longest = max(written.longest, shards.longest)
            kept.append(_only(part, usable))
            written.account(part, kept[-1], places, sides, faults)
        if not written.outputs:  # a folder without a file of the manifest is not the version's
            target.rmdir()
    written.written = pl.concat(kept)
    return written


def _put_in(
    shards: Shards, results: Iterable[Encoded], written: WriteResult, causes: dict[Fault, Fault]
) -> tuple[pl.Series, dict[int, Fault]]:
    """Put the records of a split into its shards. Gives which of its rows have one, and why each of
    the others has none.
    """
    usable = array("b")
    faults: dict[int, Fault] = {}
    for result in results:
        for at, fault in result.reasons.items():
            faults[len(usable) + at] = told_once(fault, causes)
        usable.extend(map(bool, result.lengths))
        written.contents.add(result.contents)
        written.example = written.example or result.example
        shards.add(result)
    return pl.Series(usable, dtype=pl.Int8).cast(pl.Boolean), faults


def _alike(
    splits: list[Shards], job: WriteJob, params: Write, written: WriteResult
) -> dict[str, Kind]:
    """The kinds of the columns of parquet files, the same in all; in jsonl files, numbers of a
    column with fractions become floats, and what loaders may stumble over is noted.
    """
    if params.written_as == "jsonl":
        shown = frozenset().union(*(shards.shown.elements for shards in splits))
        floats, written.rounded = mixed(shown, _beside(job))
        for shards in splits:
            shards.as_floats(floats)
        if written.example and floats:
            written.example = as_floats(written.example.encode(), floats).decode().rstrip()
        if all(shards.shown.shapes for shards in splits):  # a split may have no rows
            written.apart = apart(*(shards.shown.elements for shards in splits))
    return widest([kind for shards in splits for kind in shards.kinds()])


def _watched(results: Iterable[Encoded], advance: Advance) -> Iterator[Encoded]:
    for result in results:
        advance(len(result.lengths))
        yield result


def _only(rows: pl.DataFrame, keep: pl.Series) -> pl.DataFrame:
    return rows if keep.all() else rows.filter(keep)  # which copies them


def write_metrics(rows: pl.DataFrame, entered: pl.Series, folder: Path, inside: str) -> WriteResult:
    """Write a table of metrics as JSON lines, a metric each; it uses every row that entered."""
    encoder = msgspec.json.Encoder()
    lines = [encoder.encode(row) for row in rows.drop(SPLIT).iter_rows(named=True)]
    data = b"".join(line + b"\n" for line in lines)
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        (target / "metrics.jsonl").write_bytes(data)
    output = Output(
        f"{inside}/metrics.jsonl", rows.height, len(data), hashlib.sha256(data).hexdigest()
    )
    used = pl.DataFrame({"row": entered, "side": "", "output": output.path, "at": None})
    return WriteResult([output], rows, used=[used], example=lines[0].decode() if lines else None)


def _beside(job: WriteJob) -> Iterator[str]:
    """The columns that are made of the table or the line, where a loader of tables reads them."""
    if not job.by_lines:
        canonical = parts_in(job.format, job.purpose)
        yield from (to for to, name in job.columns.items() if name not in canonical)
