"""Scan: one row of scalars for each line of a slice of a file.

A pure function over slices (`scan`), run by an engine: it imports no polars, keeps no state
between calls, and returns columns as plain arrays.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from typing import Any

import msgspec
import xxhash
from msgspec import UNSET, Raw, UnsetType

from gymrecipe.rollouts import lines as shapes
from gymrecipe.rollouts.columns import Column, Path, find, name_of, typed
from gymrecipe.rollouts.files import (
    Digest,
    Source,
    blocks,
    lines,
    starts_inside_a_line,
)
from gymrecipe.rollouts.lines import HEAVY, Line, Response, Shape
from gymrecipe.rollouts.prompts import prompt_key, value_key
from gymrecipe.rollouts.said import Output, is_truncated, output_tokens

KNOWN_FIELDS = 1_000
"""More top-level fields than this are no schema; further ones are left alone unless asked for."""

ROWS_HELD = 256
"""So many rows are collected before they are appended to the columns, a column at a time."""

_CUT = ("bad_json", "not_utf8")
"""What a line that is cut off looks like."""

_ODD = re.compile(r'["\\\x00-\x1f]')
"""A key that no field of a struct can have as its name."""

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
    """What a slice holds. `columns` has an array a column, `texts` the values its codes mean."""

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
    number, length = 0, 0
    for number, raw in enumerate(lines(stream, job.start, end, inside), start=1):
        length = raw.offset + raw.length + raw.whole
        rows.add(number, raw.offset, raw.length, raw.data, raw.whole)
        if number == job.limit:
            break
    return rows.result(number, length, digest.close())


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
        self.columns: dict[str, Any] = {name: array(code) for name, code in TYPES.items()}
        self.no_task_fields = {task_field(i): 0 for i in range(len(job.task_fields))}
        self.columns.update({name: array("Q") for name in self.no_task_fields})
        self.codes: dict[str, dict[str, int]] = {"model": {}, "agent": {}}
        for column in job.columns:
            if column.kind == "text":
                self.codes[column.name] = {}
            else:
                self.columns[column.name] = array("d" if column.kind == "number" else "b")
        self.columns.update({name: array("i") for name in self.codes})
        self.held: list[dict[str, Any]] = []
        self.rows = 0
        self.place = 0
        self.bad: list[Bad] = []
        self.found: set[str] = set()
        self.metrics: dict[str, tuple[array[float], array[int]]] = {}
        asked = [*job.task_fields, job.reward, job.group_by or ()]
        asked += [path for column in job.columns for path in column.paths]
        asked += job.present
        self.sought = list(job.present)
        self.needed = _NEEDED.union(path[0] for path in asked if path)
        self.names: list[str] = []
        self.odd: list[str] = []
        self._rebuild()

    def _rebuild(self) -> None:
        """Make the decoders of lines with the fields known so far."""
        fields: list[Any] = [
            ("responses_create_params", shapes.Request | None, None),
            ("response", shapes.Response | str | list[Raw] | None, None),
            ("messages", Raw, shapes.NULL),
            ("output", Raw, shapes.NULL),
        ]
        fields += [(f"f{i}", Raw | UnsetType, UNSET) for i in range(len(self.names))]
        rename = {f"f{i}": name for i, name in enumerate(self.names)}
        known = msgspec.defstruct("Known", fields, rename=rename, forbid_unknown_fields=True)
        self.known = msgspec.json.Decoder(known)
        self.any = msgspec.json.Decoder(msgspec.defstruct("Any", fields, rename=rename))
        self.slots: dict[Any, int] = {name: i + len(HEAVY) for i, name in enumerate(self.names)}
        for name in self.names:
            if not name.startswith("_") and name not in self.metrics:
                self.metrics[name] = (array("d"), array("Q"))
        self.measured = [(self.slots[name], known) for name, known in self.metrics.items()]
        self.task_fields = [
            (task_field(i), path)
            for i, path in enumerate(self.job.task_fields)
            if path[0] in self.slots or path[0] in HEAVY or path[0] in self.odd
        ]

    def _learn(self, data: bytes) -> None:
        """Take up the fields of a line that has others than those known so far."""
        before = len(self.names)
        for name in msgspec.json.decode(data, type=dict[str, Raw]):
            if name in HEAVY or name in self.slots or name in self.odd:
                continue
            if len(self.names) + len(self.odd) < KNOWN_FIELDS or name in self.needed:
                (self.odd if _ODD.search(name) else self.names).append(name)
        if len(self.names) > before:
            self._rebuild()

    def _decode(self, data: bytes) -> tuple[Any, ...]:
        try:
            return msgspec.structs.astuple(self.known.decode(data))
        except msgspec.ValidationError:
            self._learn(data)
            return msgspec.structs.astuple(self.any.decode(data))

    def add(self, number: int, offset: int, length: int, data: bytes | None, whole: bool) -> None:
        """Take one line: a row, or a bad line."""
        if offset == 0 and data is not None and data.startswith(b"\xef\xbb\xbf"):
            data, offset, length = data[3:], 3, length - 3
        reason = self._reason(number, offset, data)
        if reason in _CUT and not whole:
            reason = "truncated_tail"
        if reason is not None:
            self.bad.append(Bad(number, offset, length, reason))

    def _reason(self, number: int, offset: int, data: bytes | None) -> str | None:
        """Why the line is bad; None where it became a row."""
        if data is not None and not data.strip():
            return "blank"
        self.place += 1
        if data is None:
            return "line_too_long"
        try:
            if not data.isascii():
                data.decode()
            values = self._decode(data)
            line = Line(*values[: len(HEAVY)])
            line.tools = self._raw(values, "tools")
            if (shape := shapes.shape_of(line)) is not None:
                self._row(number, offset, data, values, shape)
                return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            return shapes.why_bad(data, error)
        asked = line.responses_create_params is not None or not shapes.is_null(line.messages)
        return "no_response" if asked else "not_a_rollout"

    def _raw(self, values: tuple[Any, ...], name: str) -> Raw:
        slot = self.slots.get(name)
        value = UNSET if slot is None else values[slot]
        return shapes.NULL if value is UNSET else value

    def _row(
        self, number: int, offset: int, data: bytes, values: tuple[Any, ...], shape: Shape
    ) -> None:
        reward = typed(self._find(data, values, self.job.reward), "number")
        output = Output(shape.output)
        response = values[1] if isinstance(values[1], Response) else None
        request = values[0]
        agent = typed(find(self._raw(values, "agent_ref"), ("name",)), "text")
        model = (response.model if response else None) or (request.model if request else None)
        identity = xxhash.xxh3_128_intdigest(data)
        row = {
            "line": number,
            "offset": offset,
            "bytes": len(data),
            "id_hi": identity >> 64,
            "id_lo": identity & 0xFFFF_FFFF_FFFF_FFFF,
            "prompt_key": prompt_key(shape),
            "index_key": self._index_key(values, agent),
            "group_value": value_key(self._find(data, values, self.job.group_by or ())),
            "place": self.place,
            "reward": math.nan if reward is None else reward,
            "turns": output.turns,
            "output_items": len(shape.output),
            "tool_calls": output.calls,
            "answer_chars": len(output.answer),
            "answer_key": output.key(),
            "output_tokens": output_tokens(response),
            "truncated": is_truncated(response),
            "failed": self._failed(values, response),
            "masked": self._masked(values),
            "empty": output.empty,
            "unanswered_calls": output.unanswered,
            "has_tools": not shapes.is_empty(shape.tools),
            "model": self._code("model", model),
            "agent": self._code("agent", agent),
            **self.no_task_fields,
        }
        for name, path in self.task_fields:
            row[name] = value_key(self._find(data, values, path))
        found = []
        for column in self.job.columns:
            raw = self._first(data, values, column.paths)
            if raw is not None:
                found.append(column.name)
            value = typed(raw, column.kind)
            if column.kind == "text":
                row[column.name] = self._code(column.name, value)
            else:
                row[column.name] = _MISSING[column.kind] if value is None else value
        metrics = [
            (known, value)
            for slot, known in self.measured
            if (raw := values[slot]) is not UNSET and (value := _metric(raw)) is not None
        ]
        for path in self.sought:
            if self._find(data, values, path) is not None:
                found.append(name_of(path))
        # Nothing fails from here on: a line is a row or it is bad, never both.
        if found:
            self.found.update(found)
            self.sought = [path for path in self.sought if name_of(path) not in self.found]
        for (measured, rows), value in metrics:
            measured.append(value)
            if self.job.metric_rows:
                rows.append(self.rows)
        self.held.append(row)
        self.rows += 1
        if len(self.held) == ROWS_HELD:
            self._append()

    def _append(self) -> None:
        for name, column in self.columns.items():
            column.extend([row[name] for row in self.held])
        self.held = []

    def _code(self, name: str, value: str | None) -> int:
        codes = self.codes[name]
        return -1 if value is None else codes.setdefault(value, len(codes))

    def _first(
        self, data: bytes, values: tuple[Any, ...], paths: tuple[Path, ...]
    ) -> Raw | bytes | None:
        found = (self._find(data, values, path) for path in paths)
        return next((raw for raw in found if raw is not None), None)

    def _find(self, data: bytes, values: tuple[Any, ...], path: Path) -> Raw | bytes | None:
        if not path:
            return None
        root = path[0]
        if (slot := self.slots.get(root)) is not None:
            return None if values[slot] is UNSET else find(values[slot], path[1:])
        return find(data, path) if root in HEAVY or root in self.odd else None

    def _index_key(self, values: tuple[Any, ...], agent: str | None) -> int:
        index = value_key(self._raw(values, "_ng_task_index"))
        # The same index of another agent is another task.
        return index and (xxhash.xxh3_64_intdigest((agent or "").encode(), seed=index) or 1)

    def _masked(self, values: tuple[Any, ...]) -> bool:
        if self._raw(values, "mask_sample") == _TRUE:
            return True
        config = self._raw(values, "instance_config")
        return not shapes.is_null(config) and find(config, ("mask_sample",)) == _TRUE

    def _failed(self, values: tuple[Any, ...], response: Response | None) -> bool:
        if response is not None and (
            response.status in ("failed", "cancelled") or not shapes.is_null(response.error)
        ):
            return True
        failures = ("_ng_failure_class", "failure_kind")
        return any(not shapes.is_null(self._raw(values, name)) for name in failures)

    def result(self, number: int, length: int, digests: list[bytes]) -> Scanned:
        """Everything collected, as plain data."""
        self._append()
        metrics = {name: known for name, known in self.metrics.items() if known[0]}
        return Scanned(
            lines=number,
            digests=digests,
            columns=self.columns,
            texts={name: list(codes) for name, codes in self.codes.items()},
            bad=self.bad,
            fields=self.names + self.odd,
            found=sorted(self.found),
            metrics={
                name: Metric(len(values), exact_sum(values), min(values), max(values))
                for name, (values, _) in metrics.items()
            },
            metric_rows={name: (rows, values) for name, (values, rows) in metrics.items() if rows},
            bytes=length,
        )


_NEEDED = frozenset(
    {"tools", "instance_config", "mask_sample", "agent_ref", "_ng_task_index"}
    | {"_ng_failure_class", "failure_kind"}
)
_MISSING = {"number": math.nan, "boolean": -1}
_TRUE = Raw(b"true")
_NUMBER_OR_BOOLEAN = frozenset(b"-0123456789tf")


def task_field(index: int) -> str:
    """The column that holds the key of the n-th task field."""
    return f"task_field_{index}"


def _metric(raw: Raw) -> float | None:
    """A number, or a boolean as 0 and 1 (as NeMo Gym aggregates them)."""
    if memoryview(raw)[0] not in _NUMBER_OR_BOOLEAN:
        return None
    try:
        return float(msgspec.json.decode(raw))
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
