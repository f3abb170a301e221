"""The data files of a version: rows through a format into shards, in order, each with its hash."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec.structs import replace

from gymrecipe.experiments.disk import writing
from gymrecipe.experiments.manifest import Output
from gymrecipe.experiments.placed import as_they_lie, memory, placed
from gymrecipe.experiments.shards import Shards
from gymrecipe.experiments.slices import OWN, slices
from gymrecipe.experiments.spool import plain
from gymrecipe.experiments.written import WriteResult, account, told_once
from gymrecipe.formats.apart import apart
from gymrecipe.formats.custom import parts_in
from gymrecipe.formats.encode import encode
from gymrecipe.formats.job import Encoded, Fault, WriteJob
from gymrecipe.formats.parquet import widest
from gymrecipe.formats.shapes import as_floats, mixed
from gymrecipe.formats.template import Template
from gymrecipe.planning.beside import columns_of, held, path_of, table_column
from gymrecipe.planning.settings import NamedColumn
from gymrecipe.registry import FORMATS, PLUGINS, Purpose
from gymrecipe.rollouts.chat import Reading
from gymrecipe.rollouts.columns import INPUT, MADE, SIDES, SPLIT
from gymrecipe.rollouts.engine import Advance, Map
from gymrecipe.rollouts.files import Source
from gymrecipe.stages.write import Write

FAR = 0.5
"""Of inputs that take more than this share of the memory, the system may have forgotten what was
read first when it is read again. Reading at random what it still has costs nothing.
"""


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
    advance: Advance,
) -> WriteResult:
    """Write the rows to `folder / inside`, the rows of each split to its own files.

    Raises ChangedError if a source is not what it was when it was scanned, MachineError where the
    disk fails.
    """
    written = WriteResult([], rows.clear())
    target = folder / inside
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    sides = tuple(f"{side}_" for side in SIDES) if "chosen_row" in rows.columns else ("",)
    known = _held(rows, named)
    job = _job(rows, params, purpose, sides, known, across_prompts, named, template)
    file = params.written_as
    kept = []
    causes: dict[Fault, Fault] = {}
    on_disk = sum(source.size for source in sources)
    read = (*sides, INPUT) if f"{INPUT}source" in rows.columns else sides
    with plain(sources, rows, read, folder) as (paths, rows):
        came = []
        for split in ("train", "validation"):
            part = _only(rows, rows[SPLIT] == split)
            shards = Shards(
                target, inside, split, file, params.shard_rows, params.order == "strict"
            )
            size = sum(int(part[f"{side}bytes"].sum()) for side in sides)
            far = params.order == "shuffled" and max(size, on_disk) > FAR * memory()
            order = as_they_lie(part, sides[0]) if far else None
            here = replace(job, sources=paths, split=split)
            jobs = slices(here, part, sides, known, target, order)
            usable = array("b")
            faults: dict[int, Fault] = {}
            with writing(target):
                results = _watched(engine(encode, jobs, size), advance)
                if order is not None:
                    results = placed(results, order, size, target, split)
                for result in results:
                    for at, fault in result.reasons.items():
                        faults[len(usable) + at] = told_once(fault, causes)
                    usable.extend(map(bool, result.lengths))
                    written.contents.add(result.contents)
                    written.example = written.example or result.example
                    shards.add(result)
            came.append((part, shards, usable, faults))
        with writing(target):
            kinds = widest([kind for _, shards, *_ in came for kind in shards.kinds()])
            if file == "jsonl":
                shown = frozenset().union(*(shards.shown() for _, shards, *_ in came))
                floats, written.rounded = mixed(shown, _beside(job))
                for _, shards, *_ in came:
                    shards.as_floats(floats)
                if written.example and floats:
                    written.example = as_floats(written.example.encode(), floats).decode().rstrip()
                written.apart = apart(*(shards.shown() for _, shards, *_ in came))
        for part, shards, usable, faults in came:
            with writing(target):
                outputs, places = shards.close(kinds)
            written.outputs += outputs
            written.is_late |= shards.is_late
            written.longest = max(written.longest, shards.longest)
            made = _only(part, pl.Series(usable, dtype=pl.Int8).cast(pl.Boolean))
            account(written, part, made, places, sides, faults)
            kept.append(made)
    if not written.outputs:  # a folder without a file of the manifest is not the version's
        with writing(target):
            target.rmdir()
    written.written = pl.concat(kept)
    return written


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
    used = pl.DataFrame(
        {"row": entered, "side": "", "output": output.path, "at": None},
        schema={"row": pl.UInt32, "side": pl.String, "output": pl.String, "at": pl.UInt64},
    )
    return WriteResult([output], rows, used=[used], example=lines[0].decode() if lines else None)


def _job(
    rows: pl.DataFrame,
    params: Write,
    purpose: Purpose,
    sides: tuple[str, ...],
    known: set[str],
    across_prompts: bool,
    named: dict[str, NamedColumn],
    template: Template | None,
) -> WriteJob:
    """What all slices have in common; `values` and `own` have no rows yet."""
    pairs = len(sides) == 2
    columns: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    canonical = parts_in(params.format, purpose)
    for name, to in columns_of(params, purpose).items():
        columns[to] = name
        if name in canonical:
            continue
        if table_column(name, pairs, known) is not None:
            values[name] = []
        else:
            columns[to] = path_of(name, pairs, named)
    format = FORMATS[params.format]
    fields = params.verifier_fields
    return WriteJob(
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
            repeated_call_ids=params.repeated_call_ids,
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


def _beside(job: WriteJob) -> Iterator[str]:
    """The columns that are made of the table or the line, where a loader of tables reads them."""
    if not job.by_lines:
        canonical = parts_in(job.format, job.purpose)
        yield from (to for to, name in job.columns.items() if name not in canonical)


def _held(rows: pl.DataFrame, named: dict[str, NamedColumn]) -> set[str]:
    """The columns of these rows beside the built-in ones: named ones, and what stages made."""
    made = {name for columns in MADE.values() for name in columns}
    return held(named, {name for name in made if {name, f"chosen_{name}"} & set(rows.columns)})
