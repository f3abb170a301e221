"""Encode: reads the lines of chosen rollouts again and writes them as records of a format.

A pure function of a job, for a worker to run. It imports no polars.
"""

from __future__ import annotations

import importlib
from array import array

import msgspec

from gymrecipe.formats.job import Encoded, Job
from gymrecipe.formats.make import example_of
from gymrecipe.formats.shapes import Shapes
from gymrecipe.formats.sources import Sources
from gymrecipe.formats.values import values_of
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.messages import Unusable


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
    data = bytearray()
    with Sources(job.sources) as sources:
        for row in range(len(job.sides[0].offset)):
            start = len(data)
            try:
                example = example_of(job, sources, row)
                example.values = {name: value(row, example) for name, value in values.items()}
                record = write(example)
                if isinstance(record, bytes):
                    data += record
                else:
                    encoder.encode_into(record, data, start)
            except Unusable as fault:
                reasons[row] = (fault.reason, fault.side)
            except RecursionError:
                reasons[row] = ("too_deep", 0)
            else:
                data += b"\n"
                shapes.add(record)
            if row in reasons:
                del data[start:]
            lengths.append(len(data) - start)
    with open(job.target, "wb") as target:
        target.write(data)
    first = data[: data.find(b"\n")].decode() if data else None
    return Encoded(job.target, lengths, reasons, shapes.known, shapes.of_rows, first)
