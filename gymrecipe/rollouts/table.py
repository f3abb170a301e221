"""The rollout table: the slices of all inputs, scanned by an engine and put in one frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from gymrecipe.errors import DataError, RecipeError, hint
from gymrecipe.registry import TOLERANCE
from gymrecipe.rollouts.columns import BUILT_IN, OWN, Column, Path, name_of
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.figures import total
from gymrecipe.rollouts.files import (
    BLOCK_BYTES,
    Source,
    check_unchanged,
    digest_of,
    digest_prefix,
)
from gymrecipe.rollouts.lines import BAD_LINE, HEAVY
from gymrecipe.rollouts.scan import TYPES, Job, Metric, Scanned, scan, task_field

SLICE_BYTES = 2 * BLOCK_BYTES
"""A multiple of the digest's blocks, so that each slice hashes whole blocks."""

BAD_SHARE, BAD_LEAST = 0.001, 10
"""The default of max_bad_rows: 0.1% of the lines, but at least 10."""

_DTYPES: dict[str, pl.DataType] = {
    "Q": pl.UInt64(), "I": pl.UInt32(), "d": pl.Float64(), "b": pl.Int8(), "q": pl.Int64(),
}  # fmt: skip
_NULL_AT_ZERO = ("prompt_key", "index_key", "group_value")
BAD_SCHEMA = {
    "source": pl.UInt32, "line": pl.UInt64, "offset": pl.UInt64, "bytes": pl.UInt64,
    "reason": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What a recipe asks of the scan: columns, the score's path, grouping, limits.

    The columns of the table in `unread` are left out of it.
    """

    columns: tuple[Column, ...]
    present: tuple[Path, ...]
    reward: Path
    task_fields: tuple[Path, ...]
    group_by: Path | None
    metric_rows: bool
    limit: int | None
    max_bad_rows: int | str | None
    unread: frozenset[str] = frozenset()


@dataclass
class Read:
    """How much of one input was read: lines, uncompressed bytes, and their digest."""

    lines: int
    bytes: int
    digest: str


@dataclass
class Table:
    """All rollouts of a run, in the order of the inputs, and what was seen on the way.

    `metric_rows` is long-form (`row`, `metric`, `value`), empty unless asked for. `inputs` is how
    much was read of the files of input rows.
    """

    rows: pl.DataFrame
    bad: pl.DataFrame
    read: list[Read]
    fields: list[str]
    metrics: dict[str, dict[str, float]]
    metric_rows: pl.DataFrame
    warnings: list[str] = field(default_factory=list)
    inputs: list[Read] = field(default_factory=list)


Progress = Callable[[int], None]


class TooManyBadRows(DataError):
    """More lines than max_bad_rows allows are no rollouts: `lines` were read, and why each of
    `reasons` is bad.
    """

    def __init__(self, message: str, lines: int, reasons: list[str]) -> None:
        super().__init__(message)
        self.lines = lines
        self.reasons = reasons


def empty_rows(wanted: Wanted) -> pl.DataFrame:
    """The table without a row: what a plan is made on before anything is read.

    Raises RecipeError for a column whose name the table uses itself.
    """
    if taken := [column.name for column in wanted.columns if column.name in {*BUILT_IN, *OWN}]:
        raise RecipeError(
            *(
                f"columns: '{name}' is a column of gymrecipe's own; write field[\"{name}\"] for"
                " that field of the lines."
                for name in taken
            )
        )
    none: Any = {name: array(code) for name, code in TYPES.items()}
    none |= {task_field(i): array("Q") for i in range(len(wanted.task_fields))}
    texts: dict[str, list[str]] = {"model": [], "agent": []}
    for column in wanted.columns:
        if column.kind == "text":
            texts[column.name] = []
        else:
            none[column.name] = array("d" if column.kind == "number" else "b")
    none |= {name: array("i") for name in texts}
    scanned = Scanned(0, [], none, texts, [], [], [], {}, {}, 0)
    return _frame(scanned, 0, 0, 0, 0, wanted)


def read_table(sources: list[Source], wanted: Wanted, engine: Map, progress: Progress) -> Table:
    """Scan the inputs and put the slices together.

    Raises TooManyBadRows, RecipeError for a column that no line has, ChangedError
    for a file that changed meanwhile.
    """
    collected = _Collected(wanted)
    remaining = wanted.limit
    for index, source in enumerate(sources):
        if remaining == 0:
            collected.close(source, 0, 0, digest_of([]))
            continue
        read = 0
        length = 0
        blocks: list[bytes] = []
        jobs = _jobs(source, wanted, remaining)
        for job, scanned in zip(jobs, engine(scan, jobs, source.size), strict=True):
            if remaining is not None and scanned.lines > remaining - read:
                scanned = scan(_cut(job, remaining - read))
            collected.add(scanned, source, index, read)
            read += scanned.lines
            length = max(length, scanned.bytes)
            blocks += scanned.digests
            progress(job.end - job.start)
            if remaining is not None and read == remaining:
                break
        if remaining is not None:
            remaining -= read
        check_unchanged(source)
        if source.compression:
            digest = digest_prefix(source.path, source.size)
        elif wanted.limit is not None:
            digest = digest_prefix(source.path, length)
        else:
            digest = digest_of(blocks)
        collected.close(source, read, length, digest)
    return collected.table(sources)


def _jobs(source: Source, wanted: Wanted, remaining: int | None) -> list[Job]:
    step = source.size if source.compression else SLICE_BYTES
    starts = range(0, source.size, max(step, 1))
    return [
        Job(
            source=source,
            start=start,
            end=min(start + step, source.size),
            reward=wanted.reward,
            columns=wanted.columns,
            present=wanted.present,
            task_fields=wanted.task_fields,
            group_by=wanted.group_by,
            metric_rows=wanted.metric_rows,
            limit=remaining,
        )
        for start in starts
    ]


def _cut(job: Job, limit: int) -> Job:
    values = {name: getattr(job, name) for name in job.__struct_fields__}
    return Job(**{**values, "limit": limit})


class _Collected:
    """The slices so far, checked against max_bad_rows in file order."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.frames: list[pl.DataFrame] = []
        self.bad: dict[str, list[Any]] = {name: [] for name in BAD_SCHEMA}
        self.bad_rows = 0
        self.blank = 0
        self.read: list[Read] = []
        self.rows = 0
        self.fields: dict[str, None] = {}
        self.found: set[str] = set()
        self.metrics: dict[str, list[Metric]] = {}
        self.metric_rows: list[pl.DataFrame] = []

    def add(self, scanned: Scanned, source: Source, index: int, before: int) -> None:
        frame = _frame(scanned, index, source.run, before, before - self.blank, self.wanted)
        self.frames.append(frame)
        self.blank += sum(bad.reason == "blank" for bad in scanned.bad)
        most = self.wanted.max_bad_rows
        for bad in scanned.bad:
            where = (index, before + bad.line, bad.offset, bad.length, bad.reason)
            for name, value in zip(BAD_SCHEMA, where, strict=True):
                self.bad[name].append(value)
            self.bad_rows += bad.reason != "blank"
            if isinstance(most, int) and self.bad_rows > most and bad.reason != "blank":
                raise TooManyBadRows(
                    f"{source.name}:{before + bad.line}: {bad.reason}: {BAD_LINE[bad.reason]}."
                    f" That is bad row {self.bad_rows}; max_bad_rows={most} allows {most}."
                    " Mend the file, or raise max_bad_rows.",
                    sum(read.lines for read in self.read) + before + bad.line,
                    self.bad["reason"],
                )
        self.fields.update(dict.fromkeys(scanned.fields))
        self.found.update(scanned.found)
        for name, metric in scanned.metrics.items():
            self.metrics.setdefault(name, []).append(metric)
        for name, (lines, values) in scanned.metric_rows.items():
            self.metric_rows.append(
                pl.DataFrame(
                    {
                        "row": pl.Series(lines, dtype=pl.UInt64) + self.rows,
                        "metric": pl.repeat(name, len(lines), dtype=pl.String, eager=True),
                        "value": pl.Series(values, dtype=pl.Float64),
                    }
                )
            )
        self.rows += frame.height

    def close(self, source: Source, lines: int, length: int, digest: str) -> None:
        """End one input."""
        self.blank = 0
        self.read.append(Read(lines, length, digest))

    def table(self, sources: list[Source]) -> Table:
        """The one table. Checks a percentage of bad rows, and that every column was found."""
        bad = pl.DataFrame(self.bad, schema=BAD_SCHEMA)
        lines = sum(read.lines for read in self.read)
        self._check_share(lines, bad, sources)
        rows = _whole([empty_rows(self.wanted), *self._taken()]).with_row_index("row")
        seen = [name for name in self.fields if name not in HEAVY]
        if rows.height:
            self._check_found(rows, seen)
        warnings = []
        if self.wanted.group_by and 0 < rows.height == rows["group_value"].null_count():
            warnings.append(
                f"group_by: '{name_of(self.wanted.group_by)}' is on no line that was read, so the"
                " prompt says which rollouts belong together."
            )
        empty = pl.DataFrame(schema={"row": pl.UInt64, "metric": pl.String, "value": pl.Float64})
        return Table(
            rows=rows,
            bad=bad,
            read=self.read,
            fields=seen,
            metrics={name: _total(parts) for name, parts in sorted(self.metrics.items())},
            metric_rows=pl.concat([empty, *self.metric_rows]),
            warnings=warnings,
        )

    def _taken(self) -> list[pl.DataFrame]:
        """The frames, which are held no longer."""
        frames, self.frames = self.frames, []
        return frames

    def _check_share(self, lines: int, bad: pl.DataFrame, sources: list[Source]) -> None:
        most = self.wanted.max_bad_rows
        if isinstance(most, int):
            return
        share = BAD_SHARE if most is None else float(most.rstrip("%")) / 100
        allowed = max(BAD_LEAST, share * lines) if most is None else share * lines
        if self.bad_rows <= allowed + TOLERANCE:
            return
        first = bad.filter(pl.col("reason") != "blank").row(0, named=True)
        reason = first["reason"]
        said = "the default, 0.1% but at least 10," if most is None else f"max_bad_rows={most}"
        raise TooManyBadRows(
            f"{sources[first['source']].name}:{first['line']}: {reason}: {BAD_LINE[reason]}."
            f" {self.bad_rows} of {lines} lines are bad rows; {said} allows"
            f" {int(allowed + TOLERANCE)}. Mend the file, or raise max_bad_rows.",
            lines,
            self.bad["reason"],
        )

    def _check_found(self, rows: pl.DataFrame, seen: list[str]) -> None:
        wanted = self.wanted
        absent = [
            ("columns", column.name)
            for column in wanted.columns
            if column.name not in self.found and not column.optional and column.default is None
        ]
        paths = [("columns", name_of(path)) for path in wanted.present]
        absent += [(knob, name) for knob, name in paths if name not in self.found]
        if wanted.reward != ("reward",) and rows["reward"].null_count() == rows.height:
            absent.append(("reward", name_of(wanted.reward)))
        if absent:
            fields = ", ".join(sorted(seen))
            raise RecipeError(
                *(
                    f"{knob}: '{name}' is on no line that was read. Fields seen: {fields}."
                    + hint(name, [*seen, *BUILT_IN])
                    for knob, name in absent
                )
            )


def _whole(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The frames as one, without its parts: a column at a time, for it and its parts are there
    together meanwhile. A task field that some frames have is null in the others.
    """
    parts = pl.concat(frames, how="diagonal")
    frames.clear()
    return pl.DataFrame([parts.drop_in_place(name).rechunk() for name in parts.columns])


def _total(parts: list[Metric]) -> dict[str, float]:
    n = sum(part.n for part in parts)
    return {
        "n": n,
        "mean": total([value for part in parts for value in part.sums]) / n,
        "min": min(part.least for part in parts),
        "max": max(part.most for part in parts),
    }


def _frame(
    scanned: Scanned, source: int, run: int, lines: int, places: int, wanted: Wanted
) -> pl.DataFrame:
    """The rows of one slice as a frame: sentinels become nulls, codes become texts.

    `lines` and `places` are how many the file had before the slice. A task field is a column where
    it says something: on a row without an index, by which its task is known.
    """
    columns = {
        name: pl.Series(values, dtype=_DTYPES[values.typecode])
        for name, values in scanned.columns.items()
        if name not in scanned.texts and name not in wanted.unread
    }
    without_index = columns["index_key"] == 0
    for name in [name for name in columns if name.startswith("task_field_")]:
        columns[name] *= without_index.cast(pl.UInt64)
        if not columns[name].max():
            del columns[name]
    named = {column.name: column for column in wanted.columns}
    for name, texts in scanned.texts.items():
        if name not in wanted.unread:
            columns[name] = _texts(scanned.columns[name], texts, named.get(name))
    own = {
        "source": pl.lit(source, pl.UInt32),
        "run": pl.lit(run, pl.UInt32),
        "line": pl.col("line") + lines,
        "place": pl.col("place") + places,
        "model": pl.col("model").cast(pl.Categorical()),
        "agent": pl.col("agent").cast(pl.Categorical()),
    }
    own = {name: column for name, column in own.items() if name not in wanted.unread}
    present = {name: _present(name, values.dtype) for name, values in columns.items()}
    return pl.DataFrame(columns).select(**own | {n: e for n, e in present.items() if n not in own})


def _present(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column with nulls in place of what stands for a missing value in its array."""
    column = pl.col(name)
    if dtype == pl.Float64:
        return column.fill_nan(None)
    if dtype == pl.Int8:
        return column.replace(-1, None).cast(pl.Boolean)
    if name == "output_tokens":
        return column.replace(-1, None)
    if name in _NULL_AT_ZERO or name.startswith("task_field_"):
        return column.replace(0, None)
    return column


def _texts(codes: Any, texts: list[str], column: Column | None) -> pl.Series:
    """What the codes mean, after a named column's pattern and default."""
    known = pl.Series(texts, dtype=pl.String)
    if column and column.pattern:
        known = known.str.extract(column.pattern, 1)
    known = known.extend(pl.Series([None], dtype=pl.String))
    values = known.gather(pl.Series(codes, dtype=pl.Int32).replace(-1, len(texts)))
    return values.fill_null(column.default) if column and column.default is not None else values
