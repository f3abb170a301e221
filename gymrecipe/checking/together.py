"""Together: what only shows when all rows of a file are looked at."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

import msgspec
import xxhash

from gymrecipe.checking.finding import Finding, found
from gymrecipe.checking.rows import Row
from gymrecipe.lazy_polars import pl

NEEDED = dict.fromkeys(("margin", "chat_template_kwargs"), "trainers need it on all or none")
"""Columns that trainers read of every row as soon as one has them, and what is said of it."""
LABELS = ("label", "kto_tag")
"""What the column is called that says which of two classes a completion is of."""


class Column(msgspec.Struct):
    """A top-level column: on how many rows it is, and is not null; the first row that has it,
    the first that has not, and the first null.
    """

    first: int
    rows: int = 0
    values: int = 0
    without: int = 0
    null: int = 0


class Together(msgspec.Struct):
    """What was seen of the rows so far; the columns that are `whole` are on all of them."""

    rows: int = 0
    first: int = 0
    columns: dict[str, Column] = {}
    whole: dict[str, Column] = {}
    labels: dict[bool, int] = {}
    digests: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    lines: array[int] = msgspec.field(default_factory=lambda: array("Q"))

    def add(self, row: Row) -> None:
        """Note one more row."""
        record = row.record or {}
        self.first = self.first or row.line
        for name, value in record.items():
            column = self.columns.get(name)
            if column is None:
                without = self.first if self.rows else 0
                column = self.columns[name] = Column(row.line, without=without)
                if not without:
                    self.whole[name] = column
            column.rows += 1
            if value is None:
                column.null = column.null or row.line
            else:
                column.values += 1
        for name in [name for name in self.whole if name not in record]:
            self.whole.pop(name).without = row.line
        for name in LABELS:
            if isinstance(label := record.get(name), int):
                self.labels.setdefault(bool(label), row.line)
        self.rows += 1
        self.digests.append(xxhash.xxh3_64_intdigest(row.data))
        self.lines.append(row.line)

    def end(
        self, purpose: str | None, is_table: bool, without: Mapping[str, str] = NEEDED
    ) -> Iterator[Finding]:
        """What the rows are together; `is_table`: the loader makes columns of them; `without` says
        what a trainer does of a column that is to be on all rows or none and is on some.
        """
        for name, column in self.columns.items():
            if name in NEEDED and 0 < column.values < self.rows:
                line = min(filter(None, (column.without, column.null)))
                yield found(
                    "error",
                    line,
                    f"{name}: on {column.values} of {self.rows} rows, and"
                    f" {without.get(name, NEEDED[name])}",
                )
            elif is_table and column.rows < self.rows:
                yield found(
                    "warning",
                    column.without if column.first == self.first else column.first,
                    f"{name}: on {column.rows} of {self.rows} rows. Write it on all, null where"
                    " there is none",
                )
        if purpose == "kto" and len(self.labels) == 1:
            (label, line), *_ = self.labels.items()
            said = "true" if label else "false"
            yield found("warning", line, f"all labels are '{said}': KTO learns from both classes")
        yield from self._twice()

    def _twice(self) -> Iterator[Finding]:
        table = pl.DataFrame(
            {"digest": pl.Series(self.digests, dtype=pl.UInt64), "line": self.lines}
        )
        again = table.filter(~pl.col("digest").is_first_distinct())
        if again.is_empty():
            return
        firsts = table.filter(pl.col("digest").is_first_distinct())
        pairs = again.join(firsts, on="digest", maintain_order="left", suffix="_first")
        for line, first in pairs.select("line", "line_first").iter_rows():
            yield found("warning", line, f"the same row as line {first}")
