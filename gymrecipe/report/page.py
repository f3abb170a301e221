"""Page: titled tables of aligned columns on a terminal, the same as plain lines anywhere else.

There are no boxes. Every text goes through `safe` on its way into a cell and nothing reads markup,
so that no stage, key or path of a user draws anything but its own characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from gymrecipe.report.safe import MOST, safe

GAP = 2
INDENT = 2
FIRST = 26
"""The widest first column that all tables of a page are aligned to."""
NARROW = 24
"""Where fewer cells than these are left for the last column, it goes below its row."""

Cell = str | Text
Chunks = Sequence[Cell]
"""A cell that may be parted between its chunks, and nowhere else."""


def styled(text: object, style: str = "", most: int = MOST) -> Text:
    """A text of any origin, as a cell."""
    return Text(safe(text, most), style)


def words(text: object, style: str = "", most: int = 1_000) -> list[Text]:
    """A sentence as chunks, a word each."""
    return [Text(word, style) for word in safe(text, most).split(" ") if word]


def join(*parts: Cell) -> Text:
    """A cell of several parts."""
    whole = Text()
    for part in parts:
        whole.append_text(_text(part))
    return whole


def is_plain(console: Console) -> bool:
    """Whether the console is a file, a pipe, or a terminal that cannot move its cursor."""
    return not console.is_terminal or console.is_dumb_terminal


@dataclass
class Table:
    """Rows under a head. `right` holds the columns whose cells end at the same place.

    Only the last column may have chunks; `between` stands between two of them on a line.
    """

    head: Sequence[Cell]
    rows: list[Sequence[Cell | Chunks]] = field(default_factory=list)
    right: frozenset[int] = frozenset()
    between: str = " · "


class Page:
    """Collects tables and lines, and shows them with their first columns aligned."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.plain = is_plain(console)
        self.unicode = console.encoding.lower().startswith("utf")
        self.blocks: list[Table | Text] = []

    def line(self, *parts: Cell) -> None:
        """A line of its own."""
        self.blocks.append(join(*parts))

    def table(self, table: Table) -> None:
        """A table, unless it has no rows."""
        if table.rows:
            self.blocks.append(table)

    def show(self) -> None:
        """Print everything, a blank line between two blocks."""
        firsts = [_widths(block)[0] for block in self.blocks if isinstance(block, Table)]
        first = max((width for width in firsts if width <= FIRST), default=0)
        for place, block in enumerate(self.blocks):
            if place:
                self._print(Text())
            for line in self._lines(block, first) if isinstance(block, Table) else [block]:
                self._print(line)

    def _print(self, line: Text) -> None:
        line.rstrip()
        if not self.unicode:
            plain = line.plain.replace("·", "-").replace("–", "-").replace("→", "->")
            plain = plain.replace("…", "...")
            self.console.out(
                plain.encode(self.console.encoding, "backslashreplace").decode(
                    self.console.encoding
                ),
                highlight=False,
            )
        elif self.plain:
            self.console.out(line.plain, highlight=False)
        else:
            self.console.print(line, soft_wrap=True)

    def _lines(self, table: Table, first: int) -> Iterable[Text]:
        widths = _widths(table)
        widths[0] = max(widths[0], first)
        last = len(widths) - 1
        start = sum(widths[:last]) + GAP * last
        room = self.console.width - start
        for place, row in enumerate([table.head, *table.rows]):
            line = Text()
            for column, cell in enumerate(row):
                if not isinstance(cell, str | Text):
                    break
                text = _text(cell)
                if not place and column and not text.spans and not text.style:
                    text.style = "dim"
                if column == 0 and place:
                    text = join(" " * INDENT, text)
                filler = " " * (widths[column] - text.cell_len)
                parts = (filler, text) if column in table.right else (text, filler)
                line = join(line, *parts, " " * GAP)
            cell = row[-1]
            if isinstance(cell, str | Text):
                yield line
                continue
            folded = _fold(cell, table.between, 0 if self.plain else room)
            if not self.plain and room < NARROW and len(row) > 1:
                below = INDENT * 3
                folded = _fold(cell, table.between, max(NARROW, self.console.width - below))
                if line.plain.strip():
                    yield line
                line, start = Text(" " * below), below
            for part in folded or [Text()]:
                yield join(line, part)
                line = Text(" " * start)


def _text(cell: Cell) -> Text:
    return styled(cell) if isinstance(cell, str) else cell.copy()


def _widths(table: Table) -> list[int]:
    widths = [0] * len(table.head)
    for place, row in enumerate([table.head, *table.rows]):
        for column, cell in enumerate(row):
            if isinstance(cell, str | Text):
                indent = INDENT if place and not column else 0
                widths[column] = max(widths[column], _text(cell).cell_len + indent)
    return widths


def _fold(chunks: Chunks, between: str, width: int) -> list[Text]:
    """The chunks in lines of at most `width` cells; in one line where it is 0."""
    lines: list[Text] = []
    for chunk in map(_text, chunks):
        longer = join(lines[-1], Text(between, "dim"), chunk) if lines else chunk
        if lines and (not width or longer.cell_len <= width):
            lines[-1] = longer
        else:
            lines.append(chunk)
    return lines
