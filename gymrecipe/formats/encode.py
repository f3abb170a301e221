"""Encode: reads the lines of chosen rollouts again and writes them as records of a format.

A pure function of a job, for a worker to run. It imports no polars.
"""

from __future__ import annotations

import importlib
from array import array

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.formats.job import Encoded, Job
from gymrecipe.formats.make import example_of
from gymrecipe.formats.shapes import Shapes
from gymrecipe.formats.sources import Sources
from gymrecipe.formats.values import values_of
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.lines import is_null
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
    thinks, refused = False, 0
    verifier: set[str] = set()
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
                thinks = thinks or _thinks(example)
                refused += example.refused
                if job.verifier_fields is not None:
                    verifier |= {n for n, raw in example.verifier.items() if not is_null(raw)}
    known, of_rows, fields = shapes.known, shapes.of_rows, frozenset(verifier)
    return Encoded(job.target, lengths, reasons, known, of_rows, first, thinks, refused, fields)


def _thinks(example: Example) -> bool:
    """Whether the model's thoughts are in it, beside its texts or in them."""
    return any(
        turn.reasoning_content is not None or turn.content.startswith("<think>")
        for turns in (example.completion, example.chosen, example.rejected)
        for turn in turns
    )
