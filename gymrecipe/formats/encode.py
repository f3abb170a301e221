"""Encode: reads the lines of chosen rollouts again and writes them as records of a format.

A pure function of a job, for a worker to run. It imports no polars.
"""

from __future__ import annotations

import importlib
from array import array

import msgspec

from gymrecipe.formats.contents import Contents
from gymrecipe.formats.job import Encoded, Job
from gymrecipe.formats.make import example_of
from gymrecipe.formats.shapes import Shapes
from gymrecipe.formats.sources import Sources
from gymrecipe.formats.values import values_of
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.members import Repeated
from gymrecipe.rollouts.messages import Unusable

BUFFER_BYTES = 2**20


def encode(job: Job) -> Encoded:
    """Write the records of a job. Raises ChangedError where a line is not what was scanned."""
    importlib.import_module("gymrecipe.formats")
    for plugin in job.plugins:
        importlib.import_module(plugin)
    write = FORMATS[job.format].function
    values = values_of(job)
    encoder = msgspec.json.Encoder()
    lengths = array("Q")
    reasons: dict[int, tuple[str, int]] = {}
    shapes = Shapes()
    first: str | None = None
    contents = Contents()
    text = bytearray()  # one for all records: fresh memory would cost as much as the encoding
    with Sources(job.sources) as sources, open(job.target, "wb", BUFFER_BYTES) as target:
        for row in range(len(job.sides[0].offset)):
            try:
                example = example_of(job, sources, row)
                example.values = {name: value(row, example) for name, value in values.items()}
                record = write(example)
                if isinstance(record, bytes):
                    text[:] = record
                else:
                    encoder.encode_into(record, text)
            except Unusable as fault:
                reasons[row] = (fault.reason, fault.side)
                lengths.append(0)
            except Repeated:
                reasons[row] = ("duplicate_key", 0)
                lengths.append(0)
            except RecursionError:
                reasons[row] = ("too_deep", 0)
                lengths.append(0)
            else:
                first = first or text.decode()
                text += b"\n"
                target.write(text)
                lengths.append(len(text))
                shapes.add(record)
                contents.note(example)
    return Encoded(job.target, lengths, reasons, shapes.known, shapes.of_rows, first, contents)
