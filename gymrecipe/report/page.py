"""Page: titled tables of aligned columns on a terminal, the same as plain lines anywhere else.

There are no boxes. Every text goes through `safe` on its way into a cell and nothing reads markup,
so that no stage, key or path of a user draws anything but its own characters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from gymrecipe.report.safe import MOST, safe

GAP = 2
INDENT = 2
FIRST = 26
"""The widest first column to which the tables of a page are aligned."""
NARROW = 24
"""Where fewer cells than these are left for the chunks of a row, they go below it."""

ASCII = str.maketrans({"·": "-", "→": "->", "…": "..."})
"""Our own signs, where a console has no Unicode."""

Cell = str | Text
Chunks = Sequence[Cell]
"""A cell that may be parted between its chunks, and nowhere else."""


def styled(text: object, style: str = "", most: int = MOST) -> Text:
    """A text of any origin, as a cell."""
    return Text(safe(text, most), style)


def title(text: str, style: str = "bold") -> Text:
    """What stands over a table, in the place of its first column's name."""
    return styled(text, style)


def words(text: object, style: str = "", most: int = 1_000) -> list[Text]:
    """A sentence as chunks, a word each."""
    return [Text(word, style) for word in safe(text, most).strip().split(" ")]


def join(*parts: Cell) -> Text:
    """A cell of several parts."""
    whole = Text()
    for part in parts:
        whole.append_text(_text(part))
    return whole


def is_plain(console: Console) -> bool:
    """Whether the console is a file, a pipe, or a terminal that cannot move its cursor."""
    return not console.is_terminal or console.is_dumb_terminal


class Table(msgspec.Struct):
    """Rows under a head. `right` holds the columns whose cells end at the same place.

    A row may end with chunks, which take all the room that is left; `between` stands between two
    of them on a line. `aligned` gives it the first column of the other tables.
    """

    head: Sequence[Cell]
    rows: list[Sequence[Cell | Chunks]] = []
    right: frozenset[int] = frozenset()
    between: str = " · "
    aligned: bool = True


class Page:
    """Collects tables and lines, and shows them with their first columns aligned."""

    def __init__(self, console: Console, indent: int = INDENT) -> None:
        self.console = console
        self.indent = indent
        self.plain = is_plain(console)
        self._room = sys.maxsize if self.plain else console.width
        self.unicode = console.encoding.lower().startswith("utf")
        self.blocks: list[Table | list[Text]] = []

    def lines(self, *lines: Cell) -> None:
        """Lines that stand together."""
        self.blocks.append([_text(line) for line in lines])

    def table(self, table: Table) -> None:
        """A table, unless it has no rows."""
        if table.rows:
            self.blocks.append(_texts(table))

    def show(self, apart: bool = False) -> None:
        """Print everything, a blank line between two blocks, and before them if `apart`."""
        tables = [block for block in self.blocks if isinstance(block, Table) and block.aligned]
        firsts = [self._width(table, 0) for table in tables]
        first = max((width for width in firsts if width <= FIRST), default=0)
        for place, block in enumerate(self.blocks):
            if place or apart:
                self._print(Text())
            lines = self._drawn(block, first) if isinstance(block, Table) else self._wrapped(block)
            for line in lines:
                self._print(line)
        self.console.file.flush()

    def _print(self, line: Text) -> None:
        line.rstrip()
        if self.unicode and not self.plain:
            self.console.print(line, soft_wrap=True)
            return
        text = line.plain
        if not self.unicode:
            text = text.translate(ASCII)
            encoding = self.console.encoding
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        self.console.file.write(f"{text}\n")  # rich lays out each line anew

    def _drawn(self, table: Table, first: int) -> Iterator[Text]:
        widths = [self._width(table, column) for column in range(len(table.head))]
        if table.aligned:
            widths[0] = max(widths[0], first)
        for row in (table.head, *table.rows):
            line, start = Text(), 0
            for column, cell in enumerate(row):
                if not isinstance(cell, Text):
                    yield from self._folded(line, cell, table.between)
                    break
                if column and start + widths[column] > self._room:
                    yield line
                    start = widths[0] + GAP
                    line = Text(" " * start)
                start += widths[column] + GAP
                filler = widths[column] - cell.cell_len
                if not column and row is not table.head:
                    line.append(" " * self.indent)
                    filler -= self.indent
                before = filler if column in table.right else 0
                line.append(" " * before).append_text(cell).append(" " * (filler - before + GAP))
            else:
                yield line

    def _wrapped(self, lines: list[Text]) -> Iterator[Text]:
        for line in lines:
            start = len(line.plain) - len(line.plain.lstrip(" "))
            lead, rest = line.divide([start])
            yield from self._folded(lead, list(rest.split(" ")), " ")

    def _folded(self, line: Text, chunks: Chunks, between: str) -> Iterator[Text]:
        """The line, going on with the chunks in as many lines as they take."""
        start = line.cell_len
        if self.plain:
            width = 0
        elif self.console.width - start < NARROW:
            yield line
            if not chunks:
                return
            start = 3 * INDENT
            line = Text(" " * start)
            width = max(NARROW, self.console.width - start)
        else:
            width = self.console.width - start
        for part in self._fold(chunks, between, width) or [Text()]:
            yield join(line, part)
            line = Text(" " * start)

    def _fold(self, chunks: Chunks, between: str, width: int) -> list[Text]:
        """The chunks in lines of at most `width` cells; in one line where it is 0.

        A single word that is wider stays whole: a path can be copied.
        """
        lines: list[Text] = []
        sign = Text(between, "dim" if between.strip() else "")
        for chunk in map(_text, chunks):
            longer = join(lines[-1], sign, chunk) if lines else chunk
            if lines and (not width or longer.cell_len <= width):
                lines[-1] = longer
            elif width and chunk.cell_len > width and " " in chunk.plain:
                lines += chunk.wrap(self.console, width)
            else:
                lines.append(chunk)
        return lines

    def _width(self, table: Table, column: int) -> int:
        cells = [row[column] for row in table.rows if column < len(row)]
        indent = 0 if column else self.indent
        widths = [indent + cell.cell_len for cell in cells if isinstance(cell, Text)]
        # Where a column is not aligned, a title is no reason to make it wide.
        head = _text(table.head[column]).cell_len if table.aligned else 0
        return max(head, *widths, 0)


def _texts(table: Table) -> Table:
    """The table with a Text in place of each cell that is not of chunks."""
    head = [_text(name) for name in table.head]
    for name in head:
        if not name.spans and not name.style:
            name.style = "dim"
    rows = [[styled(cell) if isinstance(cell, str) else cell for cell in row] for row in table.rows]
    return msgspec.structs.replace(table, head=head, rows=rows)


def _text(cell: Cell) -> Text:
    return styled(cell) if isinstance(cell, str) else cell.copy()
