"""Checked: the findings of `check`, those that are alike together, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from gymrecipe.check import Checking
from gymrecipe.checking.finding import Finding, Level
from gymrecipe.report.safe import counted, safe

SHOWN_LINES = 3
"""So many lines are named of findings that are alike."""
KINDS = 200
"""More kinds of findings than this are counted, but not told."""


class Alike(msgspec.Struct):
    """Findings of one kind: the first of them, the next few lines, the last, and how many lines."""

    first: Finding
    last: int
    next: list[int] = []
    count: int = 1


class Told(msgspec.Struct, frozen=True):
    """A finding of a file; `line` is None where it is about the file."""

    file: str
    line: int | None
    level: Level
    what: str


class Tally(msgspec.Struct):
    """The findings so far, by kind."""

    kinds: dict[tuple[str, str], Alike] = {}
    errors: int = 0
    warnings: int = 0
    untold: int = 0

    def count(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Count findings as they pass by."""
        for finding in findings:
            if finding.level == "error":
                self.errors += 1
            else:
                self.warnings += 1
            alike = self.kinds.get((finding.level, finding.kind))
            if alike is not None:
                if finding.line != alike.last:  # it may be on a line in several places
                    alike.count += 1
                    if len(alike.next) < SHOWN_LINES - 1:
                        alike.next.append(finding.line)
                alike.last = finding.line
            elif len(self.kinds) < KINDS:
                self.kinds[finding.level, finding.kind] = Alike(finding, finding.line)
            else:
                self.untold += 1
            yield finding


def findings(name: str, tally: Tally) -> Iterator[str]:
    """Each kind as `FILE:LINE: level: what`, the errors first, and on which lines it is as well."""
    kinds = tally.kinds.values()
    for alike in sorted(kinds, key=lambda one: (one.first.level, one.first.line)):
        first = alike.first
        where = f"{name}:{first.line}" if first.line else name
        yield f"{safe(where)}: {first.level}: {safe(first.what, 500)}"
        if alike.next:
            also = ", ".join(str(line) for line in alike.next)
            rest = alike.count - 1 - len(alike.next)
            more = f" and {rest:,} more" if rest else ""
            yield f"  also on line {also}{more}"
    if tally.untold:
        yield f"{safe(name)}: {counted(tally.untold, 'finding')} of further kinds"


def outcome(name: str, checking: Checking, tally: Tally) -> Iterator[str]:
    """What was checked, as what, and how it came out."""
    errors, warnings = counted(tally.errors, "error"), counted(tally.warnings, "warning")
    read = f"format={checking.format}"
    if checking.purpose:
        told = "" if checking.is_told else " (by its columns)"
        read = f"{counted(checking.rows, 'row')} as {read} purpose={checking.purpose}{told}"
    yield f"{safe(name)}: {read}: {errors}, {warnings}"
    yield from checking.notes


def told(name: str, finding: Finding) -> Told:
    """A finding as it is told alone."""
    return Told(name, finding.line or None, finding.level, finding.what)
