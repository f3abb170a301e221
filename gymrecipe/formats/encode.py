"""Encode: reads the lines of chosen rollouts again and writes them as records of a format.

A pure function of a job, for a worker to run. It imports no polars.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from gymrecipe.formats.contents import Contents
from gymrecipe.formats.example import Example
from gymrecipe.formats.job import Encoded, Fault, WriteJob
from gymrecipe.formats.make import example_of
from gymrecipe.formats.shapes import Shapes
from gymrecipe.formats.sources import Sources
from gymrecipe.formats.values import values_of
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.batches import batches
from gymrecipe.rollouts.chat import Unusable
from gymrecipe.rollouts.json_members import Repeated

BUFFER_BYTES = 2**20

BATCH_BYTES = 2**18
"""Of source, in the rows that take each step together."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def encode(job: WriteJob) -> Encoded:
    """Write the records of a job. Raises ChangedError where a line is not what was scanned."""
    importlib.import_module("gymrecipe.formats")
    for plugin in job.plugins:
        importlib.import_module(plugin)
    write = FORMATS[job.format].function
    values = values_of(job)
    encoder = msgspec.json.Encoder()
    faults: dict[int, Fault] = {}
    lengths = array("Q", bytes(8 * len(job.sides[0].offset)))
    shapes, contents = Shapes(inferred=not job.by_lines), Contents()
    first: str | None = None

    def example_of_row(row: int, lines: tuple[bytes, ...]) -> Example:
        example = example_of(job, sources, row, lines)
        example.values = {name: value(row, example) for name, value in values.items()}
        return example

    def record_of_row(_: int, example: Example) -> Any:
        try:
            return write(example)
        except Unusable as fault:
            if example.rejected and not _raises(fault.reason, write, example):
                fault.side = 1
            raise

    def write_row(_: int, record: Any) -> int:
        if isinstance(record, dict):
            encoder.encode_into(record, text)
        elif isinstance(record, bytes):
            if b"\n" in record:  # it would be several rows
                raise ValueError("a record is one line, and this one has a line feed in it")
            text[:] = record
        else:
            raise TypeError(f"a record is a dict or bytes, not {type(record).__name__}")
        nonlocal first
        first = first or text.decode()
        text.extend(b"\n")
        return target.write(text)

    text = bytearray()  # one for all records: fresh memory would cost as much as the encoding
    with Sources(job.sources) as sources, open(job.target, "wb", BUFFER_BYTES) as target:
        sizes = map(sum, zip(*(side.bytes for side in job.sides), strict=True))
        for batch in batches(enumerate(sizes), itemgetter(1), BATCH_BYTES):
            lines = {row: tuple(sources.read(side, row) for side in job.sides) for row, _ in batch}
            examples = _each(lines, example_of_row, faults)
            records = _each(examples, record_of_row, faults)
            written = _each(records, write_row, faults)
            for row, length in written.items():
                lengths[row] = length
            for row in written:
                shapes.add(records[row])
            for row in written:
                contents.note(examples[row], records[row])
    return Encoded(
        target=job.target,
        lengths=lengths,
        reasons=dict(sorted(faults.items())),
        shapes=shapes.known,
        shape=shapes.of_rows,
        example=first,
        contents=contents,
    )


def _raises(reason: str, write: Callable[[Example], Any], pair: Example) -> bool:
    """Whether a format raises it also with the chosen side in place of the rejected one."""
    try:
        write(replace(pair, rejected=pair.chosen))
    except Unusable as fault:
        return fault.reason == reason
    return False


def _each(
    given: dict[int, Given],
    step: Callable[[int, Given], Made],
    faults: dict[int, Fault],
) -> dict[int, Made]:
    """What a step makes of each row. A row that it can make nothing of goes to the `faults`, with
    the reason and the side of the pair.
    """
    made = {}
    for row, value in given.items():
        try:
            made[row] = step(row, value)
        except Unusable as fault:
            faults[row] = Fault(fault.reason, fault.side, fault.cause)
        except Repeated:
            faults[row] = Fault("duplicate_key")
        except RecursionError:
            faults[row] = Fault("too_deep")
    return made
