"""Bad lines: which lines are no rollouts, and when they are too many."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate, islice, repeat

from gymrecipe.errors import DataError
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE
from gymrecipe.rollouts.bad_line_hints import found_instead
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.bad_runs import BLANK, BLANKS, REASONS, Runs, most_blanks
from gymrecipe.rollouts.files import SWELLING, SWELLING_BYTES, Source, blocks, lines

BAD_SHARE, BAD_LEAST = 0.001, 10
"""The default of max_bad_rows: 0.1% of the lines, but at least 10."""

FEW = 10_000
"""So many bad rows are read to the end of the inputs, so that the whole share can be told."""

MEND = "Mend the file, or raise max_bad_rows."
TAKE_OUT = "Take the blank lines out."
ASK = "Ask for another field, or mend the file."
NONE = "None of them is a rollout: is this a rollout file of NeMo Gym?"


class TooManyBadRows(DataError):
    """More lines than max_bad_rows allows are no rollouts: `lines` were read, and so many of them
    are bad for each of `reasons`.
    """

    def __init__(self, message: str, lines: int, reasons: dict[str, int]) -> None:
        super().__init__(message)
        self.lines = lines
        self.reasons = reasons


class BadLines:
    """The bad lines of all inputs so far, checked against `most` (max_bad_rows) in file order.

    A share is judged as soon as no end of the inputs could meet it any more, so that what is kept
    is bounded by what is allowed. At most `limit` lines are read.
    """

    def __init__(self, sources: list[Source], most: int | str | None, limit: int | None) -> None:
        self.sources, self.most, self.limit = sources, most, limit
        self.ends = list(accumulate(map(most_bytes, sources)))
        self.source, self.runs = array("I"), Runs()

    @property
    def most_rows(self) -> int:
        """With more bad rows than these a run stops, whatever else the inputs hold."""
        if isinstance(self.most, int):
            return self.most
        most = self.ends[-1] if self.limit is None else min(self.ends[-1], self.limit)
        return max(FEW, int(self._allowed(most) + TOLERANCE))

    def add(self, found: Runs, index: int, before: int, read: int) -> None:
        """Count the bad lines of a slice, which has `before` lines of its input before it, and
        `read` lines of the inputs before that. Raises TooManyBadRows, also where blank lines
        outnumber all others.
        """
        if not found.line:
            return
        first, rows, blanks = len(self.source), self.runs.rows, self.runs.blanks
        self.source.extend(repeat(index, len(found.line)))
        self.runs.extend(found, before)
        last = len(self.source) - 1
        # If there are not too many at the last one, there were not before: a line takes bytes away.
        if self._are_too_many(self.runs.rows, last, self.runs.count[last] - 1, read):
            for at in range(first, last + 1):
                rows = self._judge(rows, at, read)
        if self.runs.blanks > BLANKS:
            for at in range(first, last + 1):
                blanks = self._judge_blanks(blanks, at, read)
        if found.rows > self.most_rows:
            raise RuntimeError("a bug of gymrecipe: lines of a slice that was left go unread")

    def _judge(self, rows: int, at: int, read: int) -> int:
        """How many bad rows there are with this run of lines, given those before. Raises
        TooManyBadRows.
        """
        count: int = self.runs.count[at]
        step = int(self.runs.reason[at] != BLANK)

        def are_too_many(nth: int) -> bool:
            return self._are_too_many(rows + (nth + 1) * step, at, nth, read)

        if are_too_many(count - 1):
            nth = bisect_left(range(count), True, key=are_too_many)
            self._stop(rows + (nth + 1) * step, at, nth, read)
        return rows + count * step

    def _judge_blanks(self, blanks: int, at: int, read: int) -> int:
        """How many blank lines there are with this run, given those before. Raises
        TooManyBadRows.
        """
        if self.runs.reason[at] != BLANK:
            return blanks
        count: int = self.runs.count[at]
        others = read + self.runs.line[at] - 1 - blanks
        nth = most_blanks(others) - blanks
        if nth < count:
            lines = others + blanks + nth + 1
            said = f"{blanks + nth + 1} of the first {lines} lines are blank, more than all others."
            raise self._error(at, nth, said, lines, self._counted(at, nth + 1), TAKE_OUT)
        return blanks + count

    def _are_too_many(self, rows: int, at: int, nth: int, read: int) -> bool:
        """Whether so many bad rows are too many, whatever comes behind the n-th line of this run,
        which is the last of them.
        """
        if isinstance(self.most, int):
            return rows > self.most
        return rows > FEW and rows > self._allowed(self._most_lines(at, nth, read)) + TOLERANCE

    def _most_lines(self, at: int, nth: int, read: int) -> int:
        """How many lines there can be at all, when a line has at least one byte."""
        index, runs = self.source[at], self.runs
        behind = self.ends[-1] - self.ends[index]
        end = runs.offset[at] + nth * (runs.length[at] + 1) + runs.length[at]
        left = most_bytes(self.sources[index]) - end
        most: int = read + runs.line[at] + nth + max(left, 0) + behind
        return most if self.limit is None else min(most, self.limit)

    def _allowed(self, count: int) -> float:
        match self.most:
            case int():
                return self.most
            case None:
                return max(BAD_LEAST, BAD_SHARE * count)
            case share:
                return float(share.rstrip("%")) / 100 * count

    def _stop(self, rows: int, at: int, nth: int, read: int) -> None:
        lines = read + self.runs.line[at] + nth
        reasons = self._counted(at, nth + 1)
        if isinstance(self.most, int):
            said = f"That is bad row {rows}; max_bad_rows={self.most} allows {self.most}."
            raise self._error(at, nth, said, lines, reasons)
        allowed = int(self._allowed(self._most_lines(at, nth, read)) + TOLERANCE)
        said = (
            f"{rows} of the first {lines} lines are bad rows; {self._limit()} allows {allowed} at"
            " most, whatever comes behind them."
        )
        raise self._error(self._first(), 0, said, lines, reasons)

    def check(self, lines: int) -> None:
        """Judge a share when all lines were read. Raises TooManyBadRows."""
        allowed, rows = self._allowed(lines) + TOLERANCE, self.runs.rows
        if rows > allowed:
            said = f"{rows} of {lines} lines are bad rows;"
            said += f" {self._limit()} allows {int(allowed)}."
            reasons = self._counted(len(self.source), 0)
            raise self._error(self._first(), 0, said, lines, reasons)

    def _first(self) -> int:
        return next(at for at, reason in enumerate(self.runs.reason) if reason != BLANK)

    def _limit(self) -> str:
        none = self.most is None
        return "the default, 0.1% but at least 10," if none else f"max_bad_rows={self.most}"

    def _counted(self, runs: int, more: int) -> dict[str, int]:
        """The lines of each reason in so many runs, and in some lines more of the next one."""
        counts: Counter[str] = Counter()
        for code, count in zip(self.runs.reason[:runs], self.runs.count, strict=False):
            counts[REASONS[code]] += count
        if more:
            counts[REASONS[self.runs.reason[runs]]] += more
        return dict(counts)

    def _error(
        self, at: int, nth: int, said: str, lines: int, reasons: dict[str, int], mend: str = ""
    ) -> TooManyBadRows:
        source, reason = self.sources[self.source[at]], REASONS[self.runs.reason[at]]
        offset = self.runs.offset[at] + nth * (self.runs.length[at] + 1)
        if not mend and BAD_LEAST < lines <= sum(reasons.values()):
            mend = ASK if are_asked_too_much(reasons) else NONE
        mend = mend or MEND
        return TooManyBadRows(
            f"{source.name}:{self.runs.line[at] + nth}: {reason}: {BAD_LINE[reason]}."
            f"{found_instead(source, offset, reason)} {said} {in_lines(source) or mend}",
            lines,
            reasons,
        )

    def frame(self) -> pl.DataFrame:
        """A row for each, in file order."""
        reasons = pl.Series(REASONS, dtype=pl.Enum(REASONS))
        columns = {
            "source": pl.Series(self.source, dtype=pl.UInt32),
            "reason": reasons[pl.Series(self.runs.reason, dtype=pl.UInt8)],
        }
        for name in ("line", "offset", "length", "count"):
            columns[name] = pl.Series(getattr(self.runs, name), dtype=pl.UInt64)
        runs = pl.DataFrame(columns)
        line, offset, count, step = *map(pl.col, ("line", "offset", "count")), pl.col("length") + 1
        each = {
            "source": pl.col("source").repeat_by(count),
            "line": pl.int_ranges(line, line + count, dtype=pl.UInt64),
            "offset": pl.int_ranges(offset, offset + count * step, step, dtype=pl.UInt64),
            "bytes": pl.col("length").repeat_by(count),
            "reason": pl.col("reason").repeat_by(count),
        }
        # One after the other: they would be there twice meanwhile.
        return pl.DataFrame(
            [runs.select(values.alias(n).explode())[n] for n, values in each.items()]
        )


def are_asked_too_much(reasons: Mapping[str, int]) -> bool:
    """Whether lines that are no rollouts for these reasons are some to a recipe that asks less."""
    return reasons.keys() <= {"blank", "int_precision"}


def most_bytes(source: Source) -> int:
    """How many bytes its lines can have."""
    return max(SWELLING_BYTES, SWELLING * source.size) if source.compression else source.size


_PACKED = {
    b"\xfd7zXZ\0": ("xz", "xz -dc"),
    b"BZh": ("bzip2", "bzip2 -dc"),
    b"PK\3\4": ("zip", "unzip -p"),
}
"""What compressed files begin with that are not read, their form, and what unpacks them."""


_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"{\0": "UTF-16LE", b"\0{": "UTF-16BE"}
"""What a file of wide characters begins with, by iconv's name for it."""


def in_lines(source: Source) -> str:
    """How a file of another known form (compressed in another way, UTF-16, Parquet, one JSON array,
    JSON over several lines) becomes JSON lines; nothing for any other.
    """
    head_lines = islice(lines(blocks(source)), BLANKS)
    written = (raw.data for raw in head_lines if raw.data is None or raw.data.strip())
    first = next(written, None) or b""
    head = first.removeprefix(BOM_UTF8).strip()
    for magic, (form, unpack) in _PACKED.items():
        if head.startswith(magic):
            return (
                f"This is compressed by {form}; gzip and zstd are read:"
                f" {unpack} {source.name} > rollouts.jsonl unpacks it."
            )
    for start, form in _WIDE.items():
        if head.startswith(start):
            return (
                f"This is UTF-16, as some shells write; UTF-8 is read: iconv -f {form} -t UTF-8"
                f" {source.name} > rollouts.jsonl makes it."
            )
    if head.startswith(b"PAR1"):
        what, command = "Parquet", f"polars.read_parquet('{source.name}').write_ndjson(…) in Python"
    elif head[:1] == b"[":
        what, command = "one JSON array", f"jq -c '.[]' {source.name} > rollouts.jsonl"
    elif head == b"{":
        what, command = "JSON over several lines", f"jq -c . {source.name} > rollouts.jsonl"
    else:
        return ""
    return f"This is {what}, not JSON lines, which are one object a line: {command} makes them."
