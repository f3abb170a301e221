"""Scan: one row of scalars for each line of a slice of a file.

A pure function over slices (`scan`), run by an engine: it imports no polars, keeps no state
between calls, and returns columns as plain arrays.
"""

from __future__ import annotations

import math
import struct
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts import lines as shapes
from gymrecipe.rollouts.columns import Column, Path, find, name_of, typed
from gymrecipe.rollouts.files import (
    Digest,
    RawLine,
    Source,
    blocks,
    lines,
    starts_inside_a_line,
)
from gymrecipe.rollouts.known import WHOLE, Known, Place, Values
from gymrecipe.rollouts.lines import NULL, Item, Line, Response
from gymrecipe.rollouts.prompts import Asked, Prompts, value_key
from gymrecipe.rollouts.said import has_failed, is_truncated, output_tokens, said

ROWS_HELD = 256
"""So many rows are collected before they are appended to the columns, a column at a time."""

_CUT = ("bad_json", "not_utf8")
"""What a line that is cut off looks like."""

TYPES = {
    "line": "Q", "offset": "Q", "bytes": "I", "id_hi": "Q", "id_lo": "Q", "prompt_key": "Q",
    "index_key": "Q", "group_value": "Q", "place": "Q", "reward": "d", "turns": "I",
    "output_items": "I", "tool_calls": "I", "answer_chars": "I", "answer_key": "Q",
    "output_tokens": "q", "truncated": "b", "failed": "b", "masked": "b", "empty": "b",
    "unanswered_calls": "b", "has_tools": "b",
}  # fmt: skip
"""The columns of every row and their array types; 0 in a key, -1 and NaN elsewhere is missing."""


class Job(msgspec.Struct, frozen=True):
    """A slice of a file, `start` to `end`, and what to look for in its lines."""

    source: Source
    start: int
    end: int
    reward: Path
    columns: tuple[Column, ...]
    present: tuple[Path, ...]
    task_fields: tuple[Path, ...]
    group_by: Path | None
    metric_rows: bool
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.source.name}: bytes {self.start} to {self.end}"


class Bad(msgspec.Struct, frozen=True):
    """A line that is no rollout: where it is (lines count from 1 in the slice) and why."""

    line: int
    offset: int
    length: int
    reason: str


class Metric(msgspec.Struct):
    """A top-level numeric field over a slice. `sums` add up to the exact sum."""

    n: int
    sums: list[float]
    least: float
    most: float


class Scanned(msgspec.Struct):
    """What a slice holds. `columns` has an array a column, `texts` the values its codes mean;
    `by_asking` says that some line is bad only because of what the job asks of it.
    """

    lines: int
    digests: list[bytes]
    columns: dict[str, Any]
    texts: dict[str, list[str]]
    bad: list[Bad]
    fields: list[str]
    found: list[str]
    metrics: dict[str, Metric]
    metric_rows: dict[str, tuple[Any, Any]]
    bytes: int
    by_asking: bool = False


def scan(job: Job) -> Scanned:
    """The rows of the lines that start in the slice, and the lines that are no rollouts.

    Raises ChangedError if the file shrank, DataError if its compression is broken.
    """
    rows = _Rows(job)
    digest = Digest()
    stream = blocks(job.source, job.start, job.end)
    if not job.source.compression:
        stream = _hashed(stream, digest, job.end - job.start)
    inside = starts_inside_a_line(job.source, job.start)
    end = job.end if not job.source.compression else 2**63
    number, raw = 0, RawLine(0, 0, None, False)
    for number, raw in enumerate(lines(stream, job.start, end, inside), start=1):
        rows.add(number, raw)
        if number == job.limit:
            break
    return rows.result(number, raw.offset + raw.length + raw.whole, digest.close())


def _hashed(stream: Iterator[bytes], digest: Digest, length: int) -> Iterator[bytes]:
    for block in stream:  # a block ends where the slice does
        if length > 0:
            digest.update(block)
            length -= len(block)
        yield block


class _Rows:
    """The columns of a slice while they grow."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.models: dict[str, int] = {}
        self.agents: dict[str, int] = {}
        self.codes = {"model": self.models, "agent": self.agents}
        self.codes |= {column.name: {} for column in job.columns if column.kind == "text"}
        codes = TYPES | {task_field(i): "Q" for i in range(len(job.task_fields))}
        codes |= {"model": "i", "agent": "i"}
        codes |= {column.name: _CODES[column.kind] for column in job.columns}
        # In the order in which `_row` puts them.
        self.columns: dict[str, Any] = {name: array(code) for name, code in codes.items()}
        self.held: list[list[Any]] = []
        self.rows = 0
        self.place = 0
        self.bad: list[Bad] = []
        self.by_asking = False
        self.found: set[str] = set()
        self.metrics: dict[str, tuple[array[float], array[int]]] = {}
        self.prompts = Prompts()
        asked = [job.reward, job.group_by, *job.task_fields, *job.present]
        asked += [path for column in job.columns for path in column.paths]
        self.known = Known(_NEEDED.union(path[0] for path in asked if path))
        self._look_up()

    def _look_up(self) -> None:
        """Find out where in the parts of a line everything is, as far as it is known."""
        job, places, slots = self.job, self.known.places, self.known.slots
        self.looked_up = len(self.known.names)
        self.reward = places(job.reward)
        self.group_by = places(job.group_by)
        self.task_fields = [places(path) for path in job.task_fields]
        self.asked = [(column, places(*column.paths)) for column in job.columns]
        self.sought = [
            (name_of(path), places(path)) for path in job.present if name_of(path) not in self.found
        ]
        self.index = places(("_ng_task_index",))
        self.masks = places(*shapes.MASKS)
        self.failures = places(("_ng_failure_class",), ("failure_kind",))
        self.tools, self.agent = slots.get("tools"), slots.get("agent_ref")
        for name in self.known.names:
            if not name.startswith("_"):
                self.metrics.setdefault(name, (array("d"), array("Q")))
        self.measured = [(slots[name], known) for name, known in self.metrics.items()]

    def _decode(self, data: bytes) -> Values:
        values = self.known.values(data)
        if len(self.known.names) > self.looked_up:  # also by a bad line before
            self._look_up()
        return values

    def add(self, number: int, raw: RawLine) -> None:
        """Take one line: a row, or a bad line."""
        offset, data = raw.offset, raw.data
        if offset == 0 and data is not None and data.startswith(BOM_UTF8):
            offset, data = 3, data[3:]
        reason = self._reason(number, offset, data)
        if reason is None:
            return
        if reason != "blank" and not self.by_asking:
            self.by_asking = self._bare._reason(number, offset, data) != reason
        if reason in _CUT and not raw.whole:
            reason = "truncated_tail"
        self.bad.append(Bad(number, offset, raw.offset + raw.length - offset, reason))

    @cached_property
    def _bare(self) -> _Rows:
        """Looks at lines without asking anything of them."""
        nothing: Any = {"reward": (), "columns": (), "present": (), "task_fields": ()}
        return _Rows(msgspec.structs.replace(self.job, group_by=None, **nothing))

    def _reason(self, number: int, offset: int, data: bytes | None) -> str | None:
        """Why the line is bad; None where it became a row."""
        if data is not None and (not data or data.isspace()):
            return "blank"
        self.place += 1
        if data is None:
            return "line_too_long"
        try:
            if not data.isascii():
                data.decode()
            values = self._decode(data)
            tools = NULL if self.tools is None else values[self.tools]
            line = Line(None, values[1], values[2], values[3], tools)
            if (halves := self.prompts.halves(values[0], line)) is not None:
                self._row(number, offset, data, values, *halves)
                return None
        except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as error:
            return shapes.why_bad(data, error)
        asked = not shapes.is_null(values[0]) or not shapes.is_null(line.messages)
        return "no_response" if asked else "not_a_rollout"

    def _row(
        self,
        number: int,
        offset: int,
        data: bytes,
        values: Values,
        asked: Asked,
        output: list[Item],
    ) -> None:
        reward = typed(_first(data, values, self.reward), "number")
        response = values[1] if isinstance(values[1], Response) else None
        answer = said(output)
        agent = None if self.agent is None else _agent(bytes(values[self.agent]))
        model = (response.model if response else None) or asked.model
        row = [
            number,
            offset,
            len(data),
            *_halves(xxhash.xxh3_128_digest(data)),
            asked.key,
            self._index_key(values, agent),
            value_key(_first(data, values, self.group_by)) if self.group_by else 0,
            self.place,
            math.nan if reward is None else reward,
            answer.turns,
            len(output),
            answer.calls,
            answer.chars,
            answer.key,
            output_tokens(response),
            is_truncated(response),
            has_failed(response) or (bool(self.failures) and self._failed(values)),
            bool(self.masks) and self._masked(data, values),
            answer.empty,
            answer.unanswered,
            asked.has_tools,
            *[value_key(_first(data, values, at)) if at else 0 for at in self.task_fields],
            _code(self.models, model),
            _code(self.agents, agent),
        ]
        found = []
        for column, places in self.asked:
            raw = _first(data, values, places)
            if raw is not None:
                found.append(column.name)
            value = typed(raw, column.kind)
            if column.kind == "text":
                row.append(_code(self.codes[column.name], value))
            else:
                row.append(_MISSING[column.kind] if value is None else value)
        metrics = [
            (known, value)
            for slot, known in self.measured
            if (raw := values[slot]) is not NULL and (value := _metric(raw)) is not None
        ]
        for name, places in self.sought:
            if _first(data, values, places) is not None:
                found.append(name)
        # Nothing fails from here on: a line is a row or it is bad, never both.
        if found:
            self.found.update(found)
            self.sought = [(name, at) for name, at in self.sought if name not in self.found]
        for (measured, rows), value in metrics:
            measured.append(value)
            if self.job.metric_rows:
                rows.append(self.rows)
        self.held.append(row)
        self.rows += 1
        if len(self.held) == ROWS_HELD:
            self._append()

    def _append(self) -> None:
        for column, values in zip(self.columns.values(), zip(*self.held, strict=True), strict=True):
            column.extend(array(column.typecode, values))
        self.held = []

    def _index_key(self, values: Values, agent: str | None) -> int:
        if not self.index:
            return 0
        index = value_key(values[self.index[0][0]])
        # The same index of another agent is another task.
        return index and (xxhash.xxh3_64_intdigest((agent or "").encode(), seed=index) or 1)

    def _masked(self, data: bytes, values: Values) -> bool:
        return any(_first(data, values, [place]) == _TRUE for place in self.masks)

    def _failed(self, values: Values) -> bool:
        return any(not shapes.is_null(values[slot]) for slot, _ in self.failures)

    def result(self, number: int, length: int, digests: list[bytes]) -> Scanned:
        """Everything collected, as plain data."""
        if self.held:
            self._append()
        metrics = {name: known for name, known in self.metrics.items() if known[0]}
        return Scanned(
            lines=number,
            digests=digests,
            columns=self.columns,
            texts={name: list(codes) for name, codes in self.codes.items()},
            bad=self.bad,
            fields=self.known.names,
            found=sorted(self.found),
            metrics={
                name: Metric(len(values), exact_sum(values), min(values), max(values))
                for name, (values, _) in metrics.items()
            },
            metric_rows={name: (rows, values) for name, (values, rows) in metrics.items() if rows},
            bytes=length,
            by_asking=self.by_asking,
        )


_NEEDED = frozenset(
    {"tools", "instance_config", "mask_sample", "agent_ref", "_ng_task_index"}
    | {"_ng_failure_class", "failure_kind"}
)
_CODES = {"number": "d", "boolean": "b", "text": "i"}
_MISSING = {"number": math.nan, "boolean": -1}
_TRUE = Raw(b"true")
_NUMBER_OR_BOOLEAN = frozenset(b"-0123456789tf")
_halves = struct.Struct(">QQ").unpack
_value = msgspec.json.Decoder()


def _code(codes: dict[str, int], value: str | None) -> int:
    """The number that stands for a text, -1 for none."""
    return -1 if value is None else codes.setdefault(value, len(codes))


def _first(data: bytes, values: Values, places: list[Place]) -> Raw | bytes | None:
    """What stands at the first of the places where there is something."""
    for slot, path in places:
        if slot == WHOLE:
            raw: Raw | bytes | None = find(data, path)
        else:
            raw = values[slot]
            if raw is NULL:
                continue
            if path:
                raw = find(values[slot], path)
        if raw is not None:
            return raw
    return None


@lru_cache(maxsize=16)
def _agent(raw: bytes) -> str | None:
    """The name in an `agent_ref`. A run has few agents, each on many lines."""
    name: str | None = typed(find(raw, ("name",)), "text")
    return name


def task_field(index: int) -> str:
    """The column that holds the key of the n-th task field."""
    return f"task_field_{index}"


def _metric(raw: Raw) -> float | None:
    """A number, or a boolean as 0 and 1 (as NeMo Gym aggregates them)."""
    if memoryview(raw)[0] not in _NUMBER_OR_BOOLEAN:
        return None
    try:
        return float(_value.decode(raw))
    except OverflowError:
        return None


def exact_sum(values: Any) -> list[float]:
    """A few floats whose exact sum is that of the values, so that sums of slices can be added
    up in any grouping and still round to the same number.
    """
    parts: list[float] = []
    try:
        while (rest := math.fsum([*values, *(-part for part in parts)])) != 0.0:
            parts.append(rest)
    except OverflowError:
        return [sum(values)]
    return parts
