"""Bad runs: bad lines as they are kept. Lines alike that follow each other are one run, so that a
flood of the same line takes no memory.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from gymrecipe.rollouts.bad_reasons import BAD_LINE

REASONS = tuple(BAD_LINE)
"""What the codes of reasons mean."""

CODES = {reason: code for code, reason in enumerate(REASONS)}

BLANK = CODES["blank"]
"""The one reason of lines that are no bad rows."""

BLANKS = 10_000
"""Up to so many blank lines are no fault, even if they outnumber all others."""

ARRAYS = ("line", "offset", "length", "reason", "count")
"""What is kept of each run."""


class Bad(msgspec.Struct, frozen=True, order=True, gc=False):
    """A line that is no rollout: where it is (lines count from 1 in the slice) and why."""

    line: int
    offset: int
    length: int
    reason: str


class Runs(msgspec.Struct):
    """The bad lines of a slice in file order, as runs: each is `count` lines of one length and one
    reason, of which `line` is the first and starts at `offset`. An array a field; `rows` counts the
    bad rows, `blanks` the lines that are none.
    """

    line: Any = msgspec.field(default_factory=lambda: array("Q"))
    offset: Any = msgspec.field(default_factory=lambda: array("Q"))
    length: Any = msgspec.field(default_factory=lambda: array("Q"))
    reason: Any = msgspec.field(default_factory=lambda: array("B"))
    count: Any = msgspec.field(default_factory=lambda: array("Q"))
    rows: int = 0
    blanks: int = 0

    def add(self, bad: Bad) -> None:
        """Take the next bad line."""
        code = CODES[bad.reason]
        if code == BLANK:
            self.blanks += 1
        else:
            self.rows += 1
        if self._goes_on(bad, code):
            self.count[-1] += 1
            return
        self.line.append(bad.line)
        self.offset.append(bad.offset)
        self.length.append(bad.length)
        self.reason.append(code)
        self.count.append(1)

    def extend(self, other: Runs, before: int) -> None:
        """Take those of a slice that has so many lines before it."""
        self.line.extend(array("Q", [before + line for line in other.line]))
        for name in ARRAYS[1:]:
            getattr(self, name).extend(getattr(other, name))
        self.rows += other.rows
        self.blanks += other.blanks

    def _goes_on(self, bad: Bad, code: int) -> bool:
        """Whether the line is the next one of the last run."""
        if not self.count or self.length[-1] != bad.length or self.reason[-1] != code:
            return False
        count = self.count[-1]
        return bool(
            self.line[-1] + count == bad.line
            and self.offset[-1] + count * (bad.length + 1) == bad.offset
        )


def most_blanks(others: int) -> int:
    """How many lines may be blank beside so many that are not."""
    return max(BLANKS, others)
