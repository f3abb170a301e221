"""Scan: one row of scalars for each line of a slice of a file.

A pure function over slices (`scan`), run by an engine: it imports no polars, keeps no state
between calls, and returns columns as plain arrays.
"""

from __future__ import annotations

import math
import sys
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import msgspec
import xxhash
from msgspec import Raw

from gymrecipe.rollouts import lines as shapes
from gymrecipe.rollouts.batches import batches
from gymrecipe.rollouts.columns import find, name_of, typed
from gymrecipe.rollouts.files import Digest, RawLine, blocks, lines, starts_inside_a_line
from gymrecipe.rollouts.known import WHOLE, Known, Place, Values
from gymrecipe.rollouts.lines import NULL, Item, Line, Response
from gymrecipe.rollouts.prompts import Asked, Prompts, index_key, value_key
from gymrecipe.rollouts.said import has_failed, is_truncated, output_tokens, said
from gymrecipe.rollouts.scanned import TYPES, Bad, Job, Metric, Scanned, task_field

BATCH_BYTES = 2**20
"""Of lines that take each step together."""

_CUT = ("bad_json", "not_utf8")
"""What a line that is cut off looks like."""


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
    found = enumerate(islice(lines(stream, job.start, end, inside), job.limit), start=1)
    number, raw = 0, RawLine(0, 0, None, False)
    for batch in batches(found, lambda line: line[1].length, BATCH_BYTES):
        rows.add(batch)
        number, raw = batch[-1]
    return rows.result(number, raw.offset + raw.length + raw.whole, digest.close())


def _hashed(stream: Iterator[bytes], digest: Digest, length: int) -> Iterator[bytes]:
    for block in stream:  # a block ends where the slice does
        if length > 0:
            digest.update(block)
            length -= len(block)
        yield block


class _Text(msgspec.Struct, gc=False):
    """A line that is neither blank nor too long. `place` counts these."""

    number: int
    offset: int
    data: bytes
    place: int
    whole: bool


class _Taken(msgspec.Struct):
    """What was read of lines that are all rollouts. `texts` become codes; a metric has the number
    of each line, None where there is none; `found` are the names that some line has.
    """

    columns: dict[str, Sequence[Any]]
    texts: dict[str, list[str | None]]
    metrics: dict[str, list[float | None]]
    found: set[str]


class _NoRollout(ValueError):
    """A line is an object but no rollout; the argument is the reason."""


_FAULTS = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)
"""What is raised by a line that is bad."""


class _Rows:
    """The columns of a slice while they grow."""

    def __init__(self, job: Job) -> None:
        self.job = job
        texts = [column.name for column in job.columns if column.kind == "text"]
        self.codes: dict[str, dict[str, int]] = {name: {} for name in ("model", "agent", *texts)}
        types = TYPES | {task_field(i): "Q" for i in range(len(job.task_fields))}
        types |= {"model": "i", "agent": "i"}
        types |= {column.name: _CODES[column.kind] for column in job.columns}
        self.columns: dict[str, Any] = {name: array(code) for name, code in types.items()}
        self.rows = self.place = 0
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
        self.sought = [(name_of(path), places(path)) for path in job.present]
        self.index = places(("_ng_task_index",))
        self.masks = places(*shapes.MASKS)
        self.failures = places(("_ng_failure_class",), ("failure_kind",))
        self.tools, self.agent = slots.get("tools"), slots.get("agent_ref")
        measured = [name for name in self.known.names if not name.startswith("_")]
        self.measured = [(slots[name], name) for name in measured]

    def add(self, batch: list[tuple[int, RawLine]]) -> None:
        """Take lines that follow each other: each is a row, or a bad line."""
        texts = []
        for number, raw in batch:
            offset, data = raw.offset, raw.data
            if data is None:
                self.place += 1
                self.bad.append(Bad(number, offset, raw.length, "line_too_long"))
                continue
            if offset == 0 and data.startswith(BOM_UTF8):
                offset, data = 3, data[3:]
            if not data or data.isspace():
                self.bad.append(Bad(number, offset, len(data), "blank"))
                continue
            self.place += 1
            texts.append(_Text(number, offset, data, self.place, raw.whole))
        if texts:
            self._take(texts)

    def _take(self, texts: list[_Text]) -> None:
        try:
            taken = self._read(texts)
        except _FAULTS as error:
            if len(texts) == 1:
                self._refuse(texts[0], error)
            else:  # some of them are bad
                for text in texts:
                    self._take([text])
            return
        self._append(taken, len(texts))

    def _refuse(self, text: _Text, error: Exception) -> None:
        """Note a bad line."""
        reason = _why(text, error)
        if not self.by_asking:
            try:
                self._bare._read([text])
            except _FAULTS as fault:
                self.by_asking = _why(text, fault) != reason
            else:
                self.by_asking = True
        if reason in _CUT and not text.whole:
            reason = "truncated_tail"
        self.bad.append(Bad(text.number, text.offset, len(text.data), reason))

    @cached_property
    def _bare(self) -> _Rows:
        """Looks at lines without asking anything of them."""
        nothing: Any = {"reward": (), "columns": (), "present": (), "task_fields": ()}
        return _Rows(msgspec.structs.replace(self.job, group_by=None, **nothing))

    def _read(self, texts: list[_Text]) -> _Taken:
        """What the rows of lines hold, if all of them are rollouts; else one of _FAULTS."""
        for text in texts:
            if not text.data.isascii():
                text.data.decode()
        values = self._decoded(texts)
        halves = [self._halves(parts) for parts in values]
        answers = [said(output) for _, output in halves]
        asked = [shown for shown, _ in halves]
        responses = [parts[1] if isinstance(parts[1], Response) else None for parts in values]
        agents = self._agents(values)
        high, low = _identities(texts)
        rewards = [typed(raw, "number") for raw in self._found(texts, values, self.reward)]
        columns: dict[str, Sequence[Any]] = {
            "line": [text.number for text in texts],
            "offset": [text.offset for text in texts],
            "bytes": [len(text.data) for text in texts],
            "id_hi": high,
            "id_lo": low,
            "prompt_key": [shown.key for shown in asked],
            "index_key": self._index_keys(values, agents),
            "group_value": self._keys(texts, values, self.group_by),
            "place": [text.place for text in texts],
            "reward": [math.nan if reward is None else reward for reward in rewards],
            "turns": [answer.turns for answer in answers],
            "output_items": [len(output) for _, output in halves],
            "tool_calls": [answer.calls for answer in answers],
            "answer_chars": [answer.chars for answer in answers],
            "answer_key": [answer.key for answer in answers],
            "output_tokens": [output_tokens(response) for response in responses],
            "truncated": [is_truncated(response) for response in responses],
            "failed": self._failed(values, responses),
            "masked": self._masked(texts, values),
            "empty": [answer.empty for answer in answers],
            "unanswered_calls": [answer.unanswered for answer in answers],
            "has_tools": [shown.has_tools for shown in asked],
        }
        for number, places in enumerate(self.task_fields):
            columns[task_field(number)] = self._keys(texts, values, places)
        models = [
            (response.model if response else None) or shown.model
            for response, shown in zip(responses, asked, strict=True)
        ]
        taken = _Taken(columns, {"model": models, "agent": agents}, self._measures(values), set())
        for column, places in self.asked:
            raws = self._found(texts, values, places)
            known = [typed(raw, column.kind) for raw in raws]
            if column.kind == "text":
                taken.texts[column.name] = known
            else:
                missing = _MISSING[column.kind]
                columns[column.name] = [missing if value is None else value for value in known]
            if any(raw is not None for raw in raws):
                taken.found.add(column.name)
        for name, places in self.sought:
            if name not in self.found and any(
                raw is not None for raw in self._found(texts, values, places)
            ):
                taken.found.add(name)
        return taken

    def _decoded(self, texts: list[_Text]) -> list[Values]:
        values = [self.known.values(text.data) for text in texts]
        if len(self.known.names) > self.looked_up:  # some before the last new field lack its slot
            self._look_up()
            values = [self.known.values(text.data) for text in texts]
        return values

    def _halves(self, values: Values) -> tuple[Asked, list[Item]]:
        tools = NULL if self.tools is None else values[self.tools]
        line = Line(None, values[1], values[2], values[3], tools)
        halves = self.prompts.halves(values[0], line)
        if halves is None:
            asked = not shapes.is_null(values[0]) or not shapes.is_null(line.messages)
            raise _NoRollout("no_response" if asked else "not_a_rollout")
        return halves

    def _found(
        self, texts: list[_Text], values: list[Values], places: list[Place]
    ) -> list[Raw | bytes | None]:
        """What stands in each line at the first of the places where there is something."""
        if not places:
            return [None] * len(texts)
        return [_first(text.data, parts, places) for text, parts in zip(texts, values, strict=True)]

    def _keys(self, texts: list[_Text], values: list[Values], places: list[Place]) -> Sequence[int]:
        if not places:
            return array("Q", bytes(8 * len(texts)))
        return [value_key(raw) for raw in self._found(texts, values, places)]

    def _agents(self, values: list[Values]) -> list[str | None]:
        if (slot := self.agent) is None:
            return [None] * len(values)
        return [_agent(bytes(parts[slot])) for parts in values]

    def _index_keys(self, values: list[Values], agents: list[str | None]) -> Sequence[int]:
        if not self.index:
            return array("Q", bytes(8 * len(values)))
        slot, _ = self.index[0]
        return [
            index_key(value_key(parts[slot]), agent)
            for parts, agent in zip(values, agents, strict=True)
        ]

    def _failed(self, values: list[Values], responses: list[Response | None]) -> list[bool]:
        slots = [slot for slot, _ in self.failures]
        return [
            has_failed(response) or any(not shapes.is_null(parts[slot]) for slot in slots)
            for parts, response in zip(values, responses, strict=True)
        ]

    def _masked(self, texts: list[_Text], values: list[Values]) -> Sequence[bool]:
        by_place = [self._found(texts, values, [place]) for place in self.masks]
        if not by_place:
            return [False] * len(texts)
        return [any(raw == _TRUE for raw in raws) for raws in zip(*by_place, strict=True)]

    def _measures(self, values: list[Values]) -> dict[str, list[float | None]]:
        """The numbers of each metric, a boolean as 0 and 1 (as NeMo Gym aggregates them)."""
        return {name: _numbers([parts[slot] for parts in values]) for slot, name in self.measured}

    def _append(self, taken: _Taken, rows: int) -> None:
        for name, values in taken.columns.items():
            self.columns[name].extend(array(self.columns[name].typecode, values))
        for name, texts in taken.texts.items():
            codes = self.codes[name]
            known = [-1 if text is None else codes.setdefault(text, len(codes)) for text in texts]
            self.columns[name].extend(array("i", known))
        for name, numbers in taken.metrics.items():
            there = [number for number in numbers if number is not None]
            if there:
                measured, at = self.metrics.setdefault(name, (array("d"), array("Q")))
                measured.extend(array("d", there))
                if self.job.metric_rows:
                    places = range(self.rows, self.rows + rows)
                    kept = [
                        n for n, number in zip(places, numbers, strict=True) if number is not None
                    ]
                    at.extend(array("Q", kept))
        self.found |= taken.found
        self.rows += rows

    def result(self, number: int, length: int, digests: list[bytes]) -> Scanned:
        """Everything collected, as plain data."""
        return Scanned(
            lines=number,
            digests=digests,
            columns=self.columns,
            texts={name: list(codes) for name, codes in self.codes.items()},
            bad=sorted(self.bad, key=lambda bad: bad.line),
            fields=self.known.names,
            found=sorted(self.found),
            metrics={
                name: Metric(len(values), exact_sum(values), min(values), max(values))
                for name, (values, _) in self.metrics.items()
            },
            metric_rows={
                name: (rows, values) for name, (values, rows) in self.metrics.items() if rows
            },
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
_value = msgspec.json.Decoder()
_floats = msgspec.json.Decoder(list[float | None])


def _why(text: _Text, error: Exception) -> str:
    """The reason of a bad line."""
    if isinstance(error, _NoRollout):
        return str(error)
    return shapes.why_bad(text.data, error)


def _identities(texts: list[_Text]) -> tuple[array[int], array[int]]:
    """The two halves of each line's hash."""
    halves = array("Q", b"".join([xxhash.xxh3_128_digest(text.data) for text in texts]))
    if sys.byteorder == "little":
        halves.byteswap()
    return halves[::2], halves[1::2]


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


def _numbers(raws: list[Raw]) -> list[float | None]:
    """The numbers that stand there, a boolean as 0 and 1; None for anything else."""
    try:
        numbers = _floats.decode(b"[%b]" % b",".join(raws))
    except msgspec.DecodeError:
        numbers = [_number(raw) for raw in raws]
    return [None if number is None else number + 0.0 for number in numbers]  # no -0.0


def _number(raw: Raw) -> float | None:
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
