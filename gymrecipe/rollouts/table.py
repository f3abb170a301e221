"""The rollout table: the slices of all inputs, scanned by an engine and put in one frame."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import closing
from itertools import accumulate, islice

import msgspec

from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts import cached
from gymrecipe.rollouts.bad import BadLines, most_bytes
from gymrecipe.rollouts.digests import BLOCK_BYTES, digest_of, digest_prefix
from gymrecipe.rollouts.engine import Advance, Map
from gymrecipe.rollouts.figures import total
from gymrecipe.rollouts.files import Source, check_unchanged
from gymrecipe.rollouts.frames import (
    FRAME_ROWS,
    FRAME_SLICES,
    LARGE_ROWS,
    Held,
    Spill,
    empty_rows,
    give_back,
    joined,
    no_metrics,
    unspilled,
)
from gymrecipe.rollouts.lines import HEAVY
from gymrecipe.rollouts.missing_paths import check_found, of_other_kinds, stand_ins
from gymrecipe.rollouts.scan import scan
from gymrecipe.rollouts.scanned import Job, Metric, Scanned
from gymrecipe.rollouts.wanted import Wanted

SLICE_BYTES = BLOCK_BYTES
"""A multiple of the digest's blocks, so that each slice hashes whole blocks."""


class Read(msgspec.Struct):
    """How much of one input was read: lines, uncompressed bytes, and their digest, which is of the
    file as it was read now or of an earlier reading (`cache`).
    """

    lines: int
    bytes: int
    digest: str
    digest_from: str = "file"


class Table(msgspec.Struct):
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
    warnings: list[str] = []
    inputs: list[Read] = []


def read_table(
    sources: list[Source],
    wanted: Wanted,
    engine: Map,
    advance: Advance,
    cache: pathlib.Path | None = None,
    spill: Spill = unspilled,
) -> Table:
    """Scan the inputs and put the slices together; what `cache` has of them need not be scanned.

    Raises TooManyBadRows, RecipeError for a column that no line has, ChangedError
    for a file that changed meanwhile.
    """
    collected = _Collected(wanted, sources, spill)
    folder = cached.worth(cache, sources) if wanted.limit is None else None
    found: list[cached.Found] = []
    left = 0
    for index, source in enumerate(sources):
        jobs = list(_jobs(index, wanted, collected))
        found.append(cached.find(folder, source, jobs, engine))
        left += sum(job.end - job.start for job in jobs[found[index].ready :])
    # One map for all inputs, so that many files keep the workers as busy as a large one.
    waiting = (
        job
        for index, known in enumerate(found)
        for job in islice(_jobs(index, wanted, collected), known.ready, None)
    )
    scans = engine(scan, waiting, left)
    empty = empty_rows(wanted)  # Polars is imported for it while workers scan
    for index, source in enumerate(sources):
        remaining = collected.remaining
        if remaining == 0:
            collected.close(Read(0, 0, digest_of([])))
            continue
        done = Read(0, 0, "")
        blocks: list[bytes] = []
        jobs = list(_jobs(index, wanted, collected))
        with closing(cached.slices(folder, source, jobs, found[index], scans)) as slices:
            for job, (scanned, was_kept) in zip(jobs, slices, strict=True):
                if remaining is not None and scanned.lines > remaining - done.lines:
                    scanned = scan(msgspec.structs.replace(job, limit=remaining - done.lines))
                collected.add(scanned, index, done.lines)
                done.lines += scanned.lines
                done.bytes = max(done.bytes, scanned.bytes)
                if was_kept:
                    done.digest_from = "cache"
                blocks += scanned.digests
                advance(job.end - job.start)
                if remaining is not None and done.lines == remaining:
                    break
        check_unchanged(source)
        if wanted.limit is None or source.compression:
            done.digest = digest_of(blocks)
        else:
            done.digest = digest_prefix(source.path, done.bytes)
        collected.close(done)
    return collected.table(empty)


def _jobs(index: int, wanted: Wanted, collected: _Collected) -> Iterator[Job]:
    """The slices of an input, as they are to be scanned after what is collected."""
    source = collected.sources[index]
    step = source.size if source.compression else SLICE_BYTES
    before = collected.most_others_before(index)
    for start in range(0, source.size, max(step, 1)):
        yield Job(
            source=source,
            start=start,
            end=min(start + step, source.size),
            reward=wanted.reward,
            columns=wanted.columns,
            present=wanted.present,
            task_fields=wanted.task_fields,
            group_by=wanted.group_by,
            metric_rows=wanted.metric_rows,
            limit=collected.remaining,
            most_bad=collected.bad.most_rows,
            others_before=before + (start + 1) // 2,
        )


class _Collected:
    """The slices so far, checked against max_bad_rows in file order."""

    def __init__(self, wanted: Wanted, sources: list[Source], spill: Spill) -> None:
        self.wanted, self.sources, self.spill = wanted, sources, spill
        self.frames: list[pl.DataFrame] = []
        self.spilled: list[pl.DataFrame] = []
        self.held: list[Held] = []
        self.held_rows = 0
        self.bad = BadLines(sources, wanted.max_bad_rows, wanted.limit)
        self.blank = self.lines = self.others = 0
        self.read: list[Read] = []
        room = ((most_bytes(source) + 1) // 2 for source in sources)
        self.room = list(accumulate(room, initial=0))
        self.rows = 0
        self.fields: dict[str, None] = {}
        self.found: set[str] = set()
        self.metrics: dict[str, list[Metric]] = {}
        self.metric_rows: list[pl.DataFrame] = []
        self.held_numbers = 0
        self.spilled_metrics: list[pl.DataFrame] = []

    @property
    def remaining(self) -> int | None:
        """How many lines may be read of the inputs that are not closed."""
        return None if self.wanted.limit is None else self.wanted.limit - self.lines

    def most_others_before(self, index: int) -> int:
        """How many lines that are not blank there can be before an input; of inputs that are not
        closed there may be one for every second byte.
        """
        return self.others + self.room[index] - self.room[len(self.read)]

    def add(self, scanned: Scanned, index: int, before: int) -> None:
        rows = len(scanned.columns["line"])
        self.held.append(Held(scanned, rows, index, before, before - self.blank))
        self.held_rows += rows
        if self.held_rows >= FRAME_ROWS or len(self.held) >= FRAME_SLICES:
            self._put_together()
        self.blank += scanned.bad.blanks
        self.bad.add(scanned.bad, index, before, self.lines)
        self.fields.update(dict.fromkeys(scanned.fields))
        self.found.update(scanned.found)
        for name, metric in scanned.metrics.items():
            self.metrics.setdefault(name, []).append(metric)
        for name, (lines, values) in scanned.metric_rows.items():
            self.metric_rows.append(
                pl.DataFrame(
                    {
                        "row": (pl.Series(lines, dtype=pl.UInt64) + self.rows).cast(pl.UInt32),
                        "metric": pl.repeat(name, len(lines), dtype=pl.Categorical(), eager=True),
                        "value": pl.Series(values, dtype=pl.Float64),
                    }
                )
            )
            self.held_numbers += len(lines)
        if self.held_numbers >= LARGE_ROWS:
            self.spilled_metrics.append(self.spill(pl.concat(self.metric_rows)))
            self.metric_rows, self.held_numbers = [], 0
        self.rows += rows

    def _put_together(self) -> None:
        """Make a frame of the slices that are held."""
        if self.held:
            self.frames.append(
                joined(self.held, self.sources, self.wanted.columns, self.wanted.unread)
            )
            self.held, self.held_rows = [], 0
            give_back()
        if sum(frame.height for frame in self.frames) >= LARGE_ROWS:
            self.spilled.append(self.spill(_whole(self._taken(), unspilled)))

    def close(self, read: Read) -> None:
        """End one input."""
        self.blank = 0
        self.lines += read.lines
        self.others = self.lines - self.bad.runs.blanks
        self.read.append(read)

    def table(self, empty: pl.DataFrame) -> Table:
        """The one table, which begins as `empty`. Checks a percentage of bad rows, and that every
        column was found.
        """
        wanted = self.wanted
        self.bad.check(self.lines)
        self._put_together()
        frames = [empty, *self.spilled, *self._taken()]
        rows = self.spill(_whole(frames, self.spill).with_row_index("row"))
        seen = [name for name in self.fields if name not in HEAVY]
        warnings: list[str] = []
        if rows.height:
            scored = rows["reward"].null_count() < rows.height
            check_found(wanted, self.found, scored, seen, self.sources)
            grouped = not wanted.group_by or rows["group_value"].null_count() < rows.height
            warnings += stand_ins(wanted, self.found, grouped, seen, self.sources)
            valued = _valued(wanted, rows)
            warnings += of_other_kinds(wanted, self.found, valued, scored, self.sources)
        return Table(
            rows=rows,
            bad=self.bad.frame(),
            read=self.read,
            fields=seen,
            metrics={name: _total(parts) for name, parts in sorted(self.metrics.items())},
            metric_rows=pl.concat([no_metrics(), *self.spilled_metrics, *self.metric_rows]),
            warnings=warnings,
        )

    def _taken(self) -> list[pl.DataFrame]:
        """The frames, which are held no longer."""
        frames, self.frames = self.frames, []
        return frames


def _whole(frames: list[pl.DataFrame], spill: Spill) -> pl.DataFrame:
    """The frames as one, without its parts: a column at a time, for it and its parts are there
    together meanwhile. A task field that some frames have is null in the others.
    """
    parts = pl.concat(frames, how="diagonal")
    frames.clear()
    columns = (parts.drop_in_place(name).rechunk().to_frame() for name in parts.columns)
    return pl.concat([spill(column) for column in columns], how="horizontal")


def _valued(wanted: Wanted, rows: pl.DataFrame) -> set[str]:
    """The columns that have a value on some row, or another than their default."""
    return {
        column.name
        for column in wanted.columns
        if column.name not in rows.columns
        or (rows[column.name].is_not_null() & rows[column.name].ne_missing(column.default)).any()
    }


def _total(parts: list[Metric]) -> dict[str, float]:
    n = sum(part.n for part in parts)
    return {
        "n": n,
        "mean": total([value for part in parts for value in part.sums]) / n,
        "min": min(part.least for part in parts),
        "max": max(part.most for part in parts),
    }
