"""Scan: one row of scalars for each line of a slice of a file.

A pure function over slices (`scan`), run by an engine: it imports no polars, keeps no state
between calls, and returns columns as plain arrays.
"""

from __future__ import annotations

import math
from array import array
from functools import cached_property
from itertools import islice
from typing import Any

import msgspec

from gymrecipe.rollouts.bad_runs import Bad, Runs, most_blanks
from gymrecipe.rollouts.batches import batches
from gymrecipe.rollouts.digests import Digest, digests
from gymrecipe.rollouts.files import (
    NO_END,
    RawLine,
    blocks,
    lines,
    starts_inside_a_line,
    without_mark,
)
from gymrecipe.rollouts.reader import FAULTS, Reader, why
from gymrecipe.rollouts.scanned import Job, Metric, Scanned, array_types, text_columns
from gymrecipe.rollouts.sound_lines import SoundLines, Taken, Text

BATCH_BYTES = 2**20
"""Of lines that take each step together."""

_CUT = ("bad_json", "not_utf8")
"""What a line that is cut off looks like."""


def scan(job: Job) -> Scanned:
    """The rows of the lines that start in the slice, and the lines that are no rollouts.

    Raises ChangedError if the file shrank, DataError if its compression is broken.
    """
    rows = _Rows(job)
    digest = Digest()
    stream = blocks(job.source, job.start, job.end, saw=digest.update)
    inside = starts_inside_a_line(job.source, job.start)
    end = NO_END if job.source.compression else job.end
    found = enumerate(islice(lines(stream, job.start, end, inside), job.limit), start=1)
    number, raw = 0, RawLine(0, 0, None, False)
    for batch in batches(found, lambda line: line[1].length, BATCH_BYTES):
        rows.add(batch)
        number, raw = batch[-1]
        if _is_in_vain(job, rows.bad, number):
            break
    hashed = digest.close()
    if job.source.compression and digest.length < job.source.size:  # not read to its end
        hashed = digests(job.source.path, 0, job.source.size)
    return rows.result(number, raw.offset + raw.length + raw.whole, hashed)


def _is_in_vain(job: Job, bad: Runs, lines: int) -> bool:
    """Whether the lines so far stop the run, so that the rest of the slice need not be read."""
    if job.most_bad is not None and bad.rows > job.most_bad:
        return True
    others = None if job.others_before is None else job.others_before + lines - bad.blanks
    return others is not None and bad.blanks > most_blanks(others)


class _Rows:
    """The columns of a slice while they grow."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.codes: dict[str, dict[str, int]] = {name: {} for name in text_columns(job.columns)}
        types = array_types(job.columns, len(job.task_fields))
        self.columns: dict[str, Any] = {name: array(code) for name, code in types.items()}
        self.rows = self.place = 0
        self.bad = Runs()
        self.by_asking = False
        self.found: set[str] = set()
        self.metrics: dict[str, tuple[array[float], array[int]]] = {}
        self.reader = Reader(job)

    def add(self, batch: list[tuple[int, RawLine]]) -> None:
        """Take lines that follow each other: each is a row, or a bad line."""
        texts: list[Text] = []
        bad: list[Bad] = []
        for number, raw in batch:
            if raw.offset == 0:
                raw = without_mark(raw)
            offset, data = raw.offset, raw.data
            if data is None:
                self.place += 1
                bad.append(Bad(number, offset, raw.length, "line_too_long"))
                continue
            if not data or data.isspace():
                bad.append(Bad(number, offset, len(data), "blank"))
                continue
            self.place += 1
            texts.append(Text(number, offset, data, self.place, raw.whole))
        sound, refused = self.reader.sift(texts)
        if sound.texts:
            refused += self._take(sound)
        bad += [_bad(text, reason) for text, reason in refused]
        for line in sorted(bad):
            self.bad.add(line)

    def _take(self, sound: SoundLines) -> list[tuple[Text, str]]:
        """Make rows of lines; those that lack what is asked of them are bad, with a reason."""
        try:
            taken = self.reader.read(sound)
        except FAULTS as error:
            if len(sound.texts) > 1:
                return [bad for alone in sound.alone() for bad in self._take(alone)]
            return [self._refused(sound.texts[0], error)]
        self._append(taken, len(sound.texts))
        return []

    def _refused(self, text: Text, error: Exception) -> tuple[Text, str]:
        """Note whether a line is bad only because of what is asked of it."""
        reason = self.reader.refuse(text, error)
        if not self.by_asking:
            sound, _ = self._bare.sift([text])
            try:
                self._bare.read(sound)
            except FAULTS as fault:
                self.by_asking = why(text, fault) != reason
            else:
                self.by_asking = True
        return text, reason

    @cached_property
    def _bare(self) -> Reader:
        """Looks at lines without asking anything of them."""
        nothing: Any = {"reward": (), "columns": (), "present": (), "task_fields": ()}
        return Reader(msgspec.structs.replace(self.job, group_by=None, **nothing))

    def _append(self, taken: Taken, rows: int) -> None:
        for name, values in taken.columns.items():
            self.columns[name].extend(array(self.columns[name].typecode, values))
        for name, texts in taken.texts.items():
            codes = self.codes[name]
            known = [-1 if text is None else codes.setdefault(text, len(codes)) for text in texts]
            self.columns[name].extend(array("i", known))
        for name, numbers in taken.metrics.items():
            there = [number for number in numbers if number is not None]
            if there:
                measured, at = self.metrics.setdefault(name, (array("d"), array("Q")))
                measured.extend(array("d", there))
                if self.job.metric_rows:
                    places = enumerate(numbers, self.rows)
                    at.extend(array("Q", [row for row, number in places if number is not None]))
        self.found |= taken.found
        self.rows += rows

    def result(self, number: int, length: int, digests: list[bytes]) -> Scanned:
        """Everything collected, as plain data."""
        return Scanned(
            lines=number,
            digests=digests,
            columns=self.columns,
            texts={name: list(codes) for name, codes in self.codes.items()},
            bad=self.bad,
            fields=self.reader.known.names,
            found=sorted(self.found),
            metrics={
                name: Metric(len(values), exact_sum(values), min(values), max(values))
                for name, (values, _) in self.metrics.items()
            },
            metric_rows={
                name: (rows, values) for name, (values, rows) in self.metrics.items() if rows
            },
            bytes=length,
            by_asking=self.by_asking,
        )


def _bad(text: Text, reason: str) -> Bad:
    """The bad line. A last line without a line feed that looks cut off is a `truncated_tail`."""
    if reason in _CUT and not text.whole:
        reason = "truncated_tail"
    return Bad(text.number, text.offset, len(text.data), reason)


def exact_sum(values: Any) -> list[float]:
    """A few floats whose exact sum is that of the values, so that sums of slices can be added
    up in any grouping and still round to the same number.
    """
    parts: list[float] = []
    try:
        while (rest := math.fsum([*values, *(-part for part in parts)])) != 0.0:
            parts.append(rest)
    except OverflowError:
        return [sum(values)]
    return parts
