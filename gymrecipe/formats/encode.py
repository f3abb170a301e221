"""Encode: reads the lines of chosen rollouts again and writes them as records of a format.

A pure function of a job, for a worker to run. It imports no polars.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from gymrecipe.formats.contents import Contents
from gymrecipe.formats.example import Example
from gymrecipe.formats.job import Encoded, Job
from gymrecipe.formats.make import example_of
from gymrecipe.formats.shapes import Shapes
from gymrecipe.formats.sources import Sources
from gymrecipe.formats.values import values_of
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.members import Repeated
from gymrecipe.rollouts.messages import Unusable

BUFFER_BYTES = 2**20

LAP_ROWS, LAP_BYTES = 32, 2**18
"""So many rows, or their bytes of source, take each step together: a step's code then stays in the
processor's cache. Row by row, a line of 1.5 kB takes half as long again."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def encode(job: Job) -> Encoded:
    """Write the records of a job. Raises ChangedError where a line is not what was scanned."""
    importlib.import_module("gymrecipe.formats")
    for plugin in job.plugins:
        importlib.import_module(plugin)
    write = FORMATS[job.format].function
    values = values_of(job)
    encoder = msgspec.json.Encoder()
    faults: dict[int, tuple[str, int]] = {}
    lengths = array("Q", bytes(8 * len(job.sides[0].offset)))
    shapes, contents = Shapes(), Contents()
    first: str | None = None

    def example_of_row(row: int, lines: tuple[bytes, ...]) -> Example:
        example = example_of(job, sources, row, lines)
        example.values = {name: value(row, example) for name, value in values.items()}
        return example

    def record_of_row(_: int, example: Example) -> Any:
        return write(example)

    def text_of_row(_: int, record: Any) -> int:
        start = len(text)
        try:
            if isinstance(record, bytes):
                text.extend(record)
            else:
                encoder.encode_into(record, text, start)
        except RecursionError:
            del text[start:]
            raise
        text.extend(b"\n")
        return len(text) - start

    text = bytearray()  # one for all records: fresh memory would cost as much as the encoding
    with Sources(job.sources) as sources, open(job.target, "wb", BUFFER_BYTES) as target:
        for rows in _laps(job):
            text.clear()
            lines = {row: tuple(sources.read(side, row) for side in job.sides) for row in rows}
            examples = _each(lines, example_of_row, faults)
            records = _each(examples, record_of_row, faults)
            written = _each(records, text_of_row, faults)
            target.write(text)
            for row, length in written.items():
                lengths[row] = length
                first = first or text[: length - 1].decode()
            for row in written:
                shapes.add(records[row])
            for row in written:
                contents.note(examples[row])
    reasons = dict(sorted(faults.items()))
    return Encoded(job.target, lengths, reasons, shapes.known, shapes.of_rows, first, contents)


def _laps(job: Job) -> Iterator[range]:
    """The rows, some at a time."""
    sizes = list(map(sum, zip(*(side.bytes for side in job.sides), strict=True)))
    start = held = 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == LAP_ROWS or held + size > LAP_BYTES):
            yield range(start, row)
            start, held = row, 0
        held += size
    if sizes:
        yield range(start, len(sizes))


def _each(
    given: dict[int, Given],
    step: Callable[[int, Given], Made],
    faults: dict[int, tuple[str, int]],
) -> dict[int, Made]:
    """What a step makes of each row; a row of which it makes nothing is left to the faults."""
    made = {}
    for row, value in given.items():
        try:
            made[row] = step(row, value)
        except Unusable as fault:
            faults[row] = (fault.reason, fault.side)
        except Repeated:
            faults[row] = ("duplicate_key", 0)
        except RecursionError:
            faults[row] = ("too_deep", 0)
    return made
