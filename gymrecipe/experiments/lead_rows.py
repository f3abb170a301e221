"""Lead rows: which rows of a split have to stand first, so that they show every key and type."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Set
from itertools import chain, islice, pairwise

from gymrecipe.experiments.appended import Span
from gymrecipe.formats.job import Encoded
from gymrecipe.formats.shapes import Shape, leaders


class Shown:
    """What the rows of a split show: the different `shapes`, each with its number, the number of
    each row's, in the order in which they came, and all the `elements` of the shapes.
    """

    def __init__(self) -> None:
        self.shapes: dict[Shape, int] = {}
        self.of_rows = array("I")
        self.elements: set[str] = set()

    def add(self, result: Encoded) -> bool:
        """Take up the records of the next slice. Gives whether they show something new."""
        numbers = [self.shapes.setdefault(shape, len(self.shapes)) for shape in result.shapes]
        self.of_rows.extend(numbers[place] for place in result.shape)
        known = len(self.elements)
        self.elements.update(*result.shapes)
        return len(self.elements) > known

    def having(self, elements: Set[str]) -> set[int]:
        """The numbers of the shapes that have any of these elements."""
        return {number for shape, number in self.shapes.items() if not elements.isdisjoint(shape)}

    def replace(self, elements: dict[str, str]) -> None:
        """Put others in the place of these elements, by which some shapes may become one."""
        told = [frozenset(elements.get(each, each) for each in shape) for shape in self.shapes]
        self.shapes = {shape: number for number, shape in enumerate(dict.fromkeys(told))}
        numbers = [self.shapes[shape] for shape in told]
        self.of_rows = array("I", [numbers[number] for number in self.of_rows])
        self.elements = {elements.get(each, each) for each in self.elements}

    def leaders(self, rows: list[Span]) -> list[int]:
        """The rows that together show every key and type of all these."""
        first: dict[int, int] = {}  # the first row of each shape
        for start, stop in rows:
            for row, number in enumerate(self.of_rows[start:stop], start):
                first.setdefault(number, row)
        places = list(first.values())
        return [places[place] for place in leaders(list(self.shapes), array("I", first))]

    def led(self, rows: list[Span]) -> list[Span]:
        """The rows with those that show every key and type first."""
        found = self.leaders(rows)
        if found == list(islice(chain.from_iterable(range(*span) for span in rows), len(found))):
            return rows
        return [*((row, row + 1) for row in found), *_without(rows, sorted(found))]


def _without(rows: list[Span], taken: list[int]) -> Iterator[Span]:
    """The rows but for those taken, which are in ascending order."""
    for start, stop in rows:
        inside = taken[bisect_left(taken, start) : bisect_left(taken, stop)]
        edges = [start - 1, *inside, stop]
        yield from ((low + 1, high) for low, high in pairwise(edges) if low + 1 < high)
