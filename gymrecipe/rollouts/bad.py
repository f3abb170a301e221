"""Bad lines: which lines are no rollouts, and when they are too many."""

from __future__ import annotations

from array import array
from codecs import BOM_UTF8
from collections import Counter
from itertools import accumulate, repeat

import polars as pl

from gymrecipe.errors import DataError
from gymrecipe.registry import TOLERANCE
from gymrecipe.rollouts.files import SWELLING, SWELLING_BYTES, Source, blocks, lines
from gymrecipe.rollouts.lines import BAD_LINE
from gymrecipe.rollouts.scanned import Bad

BAD_SHARE, BAD_LEAST = 0.001, 10
"""The default of max_bad_rows: 0.1% of the lines, but at least 10."""

FEW = 10_000
"""So many bad rows are read to the end of the inputs, so that the whole share can be told."""

MEND = "Mend the file, or raise max_bad_rows."

_REASONS = tuple(BAD_LINE)
_BLANK = _REASONS.index("blank")


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
        self.ends = list(accumulate(map(_most_bytes, sources)))
        self.rows = 0
        self.source, self.reason = array("I"), array("B")
        self.line, self.offset, self.bytes = array("Q"), array("Q"), array("Q")

    def add(self, found: list[Bad], index: int, before: int, read: int) -> None:
        """Take those of a slice of an input; `before` are its lines before the slice, `read` those
        of the inputs before it. Raises TooManyBadRows.
        """
        if not found:
            return
        start, rows = len(self.line), self.rows
        self.source.extend(repeat(index, len(found)))
        self.line.extend(before + bad.line for bad in found)
        self.offset.extend(bad.offset for bad in found)
        self.bytes.extend(bad.length for bad in found)
        self.reason.extend(_REASONS.index(bad.reason) for bad in found)
        self.rows += len(found) - self.reason[start:].count(_BLANK)
        if not self._are_too_many(self.rows, len(self.line) - 1, read):
            return
        for at in range(start, len(self.line)):  # the first at which they are
            rows += self.reason[at] != _BLANK
            if self._are_too_many(rows, at, read):
                self._stop(rows, at, read)

    def _are_too_many(self, rows: int, at: int, read: int) -> bool:
        """Whether so many bad rows up to one of the bad lines are, whatever comes behind it."""
        if isinstance(self.most, int):
            return rows > self.most
        return rows > FEW and rows > self._allowed(self._most_lines(at, read)) + TOLERANCE

    def _most_lines(self, at: int, read: int) -> int:
        """How many lines there can be at all, when a line has at least one byte."""
        index = self.source[at]
        behind = self.ends[-1] - self.ends[index]
        left = _most_bytes(self.sources[index]) - self.offset[at] - self.bytes[at]
        most = read + self.line[at] + max(left, 0) + behind
        return most if self.limit is None else min(most, self.limit)

    def _allowed(self, count: int) -> float:
        match self.most:
            case int():
                return self.most
            case None:
                return max(BAD_LEAST, BAD_SHARE * count)
            case share:
                return float(share.rstrip("%")) / 100 * count

    def _stop(self, rows: int, at: int, read: int) -> None:
        lines = read + self.line[at]
        reasons = self._counted(at + 1)
        if isinstance(self.most, int):
            said = f"That is bad row {rows}; max_bad_rows={self.most} allows {self.most}."
            raise self._error(at, said, lines, reasons)
        allowed = int(self._allowed(self._most_lines(at, read)) + TOLERANCE)
        said = (
            f"{rows} of the first {lines} lines are bad rows; {self._limit()} allows {allowed} at"
            " most, whatever comes behind them."
        )
        raise self._error(self._first(), said, lines, reasons)

    def check(self, lines: int) -> None:
        """Judge a share when all lines were read. Raises TooManyBadRows."""
        allowed = self._allowed(lines) + TOLERANCE
        if self.rows > allowed:
            said = f"{self.rows} of {lines} lines are bad rows;"
            said += f" {self._limit()} allows {int(allowed)}."
            raise self._error(self._first(), said, lines, self._counted(len(self.line)))

    def _first(self) -> int:
        return next(at for at, reason in enumerate(self.reason) if reason != _BLANK)

    def _limit(self) -> str:
        none = self.most is None
        return "the default, 0.1% but at least 10," if none else f"max_bad_rows={self.most}"

    def _counted(self, end: int) -> dict[str, int]:
        return {_REASONS[code]: count for code, count in Counter(self.reason[:end]).items()}

    def _error(self, at: int, said: str, lines: int, reasons: dict[str, int]) -> TooManyBadRows:
        source, reason = self.sources[self.source[at]], _REASONS[self.reason[at]]
        return TooManyBadRows(
            f"{source.name}:{self.line[at]}: {reason}: {BAD_LINE[reason]}. {said}"
            f" {in_lines(source) or MEND}",
            lines,
            reasons,
        )

    def frame(self) -> pl.DataFrame:
        """A row for each, in file order."""
        reasons = pl.Series(_REASONS, dtype=pl.String)
        return pl.DataFrame(
            {
                "source": pl.Series(self.source, dtype=pl.UInt32),
                "line": pl.Series(self.line, dtype=pl.UInt64),
                "offset": pl.Series(self.offset, dtype=pl.UInt64),
                "bytes": pl.Series(self.bytes, dtype=pl.UInt64),
                "reason": reasons.gather(pl.Series(self.reason, dtype=pl.UInt8)),
            }
        )


def _most_bytes(source: Source) -> int:
    return max(SWELLING_BYTES, SWELLING * source.size) if source.compression else source.size


def in_lines(source: Source) -> str:
    """How a file that is one JSON array, or JSON over several lines, becomes JSON lines; nothing
    for any other.
    """
    first = next((raw.data for raw in lines(blocks(source, 0, source.size), 0, 2**63, False)
                  if raw.data is None or raw.data.strip()), None) or b""  # fmt: skip
    head = first.removeprefix(BOM_UTF8).strip()
    if head[:1] == b"[":
        what, command = "one JSON array", "jq -c '.[]'"
    elif head == b"{":
        what, command = "JSON over several lines", "jq -c ."
    else:
        return ""
    said = f"This is {what}, not JSON lines, which are one object a line:"
    return f"{said} {command} {source.name} > rollouts.jsonl makes them."
