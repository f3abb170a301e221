"""Encode: reads the lines of chosen rollouts again and writes them as records of a format.

A pure function of a job, for a worker to run. It imports no polars.
"""

from __future__ import annotations

import importlib
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import xxhash

from gymrecipe.errors import ChangedError, RecipeError
from gymrecipe.formats.custom import PAIR, SINGLE
from gymrecipe.formats.example import Example
from gymrecipe.formats.raw import verbatim
from gymrecipe.registry import FORMATS, Purpose
from gymrecipe.rollouts.columns import find, parse_path
from gymrecipe.rollouts.messages import (
    Conversation,
    Message,
    Unusable,
    check,
    conversation,
    equal,
    part,
    same,
)

Value = Callable[[int, Example], Any]


@dataclass(frozen=True)
class Side:
    """Where the lines of one side lie, and what they are: parallel columns, a place a row."""

    source: array[int]
    offset: array[int]
    bytes: array[int]
    id_hi: array[int]
    id_lo: array[int]


@dataclass(frozen=True)
class Job:
    """One slice of the rows to write.

    `sources` are uncompressed files. `sides` is one, or the chosen and the rejected one.
    `columns` names the columns beside the messages: what each is made of, and its name in the
    record. It is made of `values` where the table has it; of the conversation where the format
    is `custom` and it names a part of it; else it is a path into the line.
    """

    format: str
    purpose: Purpose
    sources: tuple[str, ...]
    sides: tuple[Side, ...]
    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    has_tools: bool = False
    across_prompts: bool = False


@dataclass(frozen=True)
class Encoded:
    """JSON lines, and of each row its bytes with the line feed: 0 where it is unusable.

    `reasons` says of those rows why, and for which side (0 for a fault of the pair itself).
    """

    data: bytes
    lengths: array[int]
    reasons: dict[int, tuple[str, int]]


def encode(job: Job) -> Encoded:
    """The records of a job. Raises ChangedError where a line is not the one that was scanned."""
    importlib.import_module("gymrecipe.formats")
    for plugin in job.plugins:
        importlib.import_module(plugin)
    write = FORMATS[job.format].function
    talks = _needs_messages(job)
    columns = {name: _value(source, job) for source, name in job.columns.items()}
    encoder = msgspec.json.Encoder()
    data: list[bytes] = []
    lengths = array("Q")
    reasons: dict[int, tuple[str, int]] = {}
    with _Sources(job.sources) as sources:
        for row in range(len(job.sides[0].offset)):
            lines = tuple(sources.read(side, row) for side in job.sides)
            at = 0
            try:
                spoken = []
                for at, line in enumerate(lines):  # noqa: B007 (`except` reads it)
                    if talks:
                        spoken.append(conversation(line))
                    else:
                        check(line)
                at = 0
                example = _example(job, lines, spoken)
                example.values = {name: value(row, example) for name, value in columns.items()}
                record = write(example)
                text = record if isinstance(record, bytes) else encoder.encode(record)
            except Unusable as fault:
                reasons[row] = (fault.reason, at)
                lengths.append(0)
            except RecursionError:
                reasons[row] = ("too_deep", at)
                lengths.append(0)
            else:
                data += (text, b"\n")
                lengths.append(len(text) + 1)
    return Encoded(b"".join(data), lengths, reasons)


class _Sources:
    """The source files, each opened once."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths
        self.opened: dict[int, int] = {}

    def __enter__(self) -> _Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.opened.values():
            os.close(descriptor)

    def read(self, side: Side, row: int) -> bytes:
        """The line of a row, held against the hash that the scan took of it."""
        source, offset = side.source[row], side.offset[row]
        if source not in self.opened:
            try:
                self.opened[source] = os.open(self.paths[source], os.O_RDONLY)
            except FileNotFoundError:
                raise ChangedError(f"{self.paths[source]}: is gone since it was read") from None
        line = os.pread(self.opened[source], side.bytes[row], offset)
        if xxhash.xxh3_128_intdigest(line) != side.id_hi[row] << 64 | side.id_lo[row]:
            raise ChangedError(
                f"{self.paths[source]}: the line at byte {offset} is not what it was when the"
                " file was read; do not write to an input while a recipe runs"
            )
        return line


def _needs_messages(job: Job) -> bool:
    if job.format == "custom":
        return any(source in _canonical(job) for source in job.columns)
    return job.format != "raw"


def _canonical(job: Job) -> dict[str, Callable[[Example], Any]]:
    return PAIR if len(job.sides) == 2 else SINGLE


def _example(job: Job, lines: tuple[bytes, ...], spoken: list[Conversation]) -> Example:
    example = Example(purpose=job.purpose, lines=lines, values={})
    if not spoken:
        return example
    shows_tools = job.has_tools and (job.format != "custom" or "tools" in job.columns)
    if shows_tools:
        example.tools = spoken[0].tools
    if len(spoken) == 1:
        example.prompt, example.completion = spoken[0].prompt, spoken[0].completion
    elif job.across_prompts:
        example.chosen, example.rejected = (_whole(side) for side in spoken)
        if shows_tools and not equal(spoken[0].tools, spoken[1].tools):
            raise Unusable("prompts_differ")
        if same(example.chosen, example.rejected):
            raise Unusable("identical_answers")
    else:
        example.prompt, example.chosen, example.rejected = part(*spoken)
    return example


def _whole(conversation: Conversation) -> list[Message]:
    return [*conversation.prompt, *conversation.completion]


def _value(source: str, job: Job) -> Value:
    """How one column is filled, decided once for all rows."""
    canonical = _canonical(job).get(source) if job.format == "custom" else None
    if canonical is not None:
        return lambda row, example: canonical(example)
    if source in job.values:
        held = job.values[source]
        return lambda row, example: held[row]
    side, path = 0, source
    if len(job.sides) == 2:
        name, _, path = source.partition(".")
        if name not in ("chosen", "rejected"):
            raise RecipeError(
                f"columns: '{source}' is not known of a pair; write chosen.{source} or"
                f" rejected.{source}"
            )
        side = 0 if name == "chosen" else 1
    try:
        steps = parse_path(path)
    except ValueError as error:
        raise RecipeError(f"columns: {error}") from None

    def value(row: int, example: Example) -> Any:
        found = find(example.lines[side], steps)
        return None if found is None else verbatim(found)

    return value
