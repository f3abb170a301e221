"""Scan: one row of scalars for each line of a slice of a file.

A pure function over slices (`scan`), run by an engine: it imports no polars, keeps no state
between calls, and returns columns as plain arrays.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import msgspec
import xxhash
from msgspec import UNSET, Raw, UnsetType

from gymrecipe.rollouts import lines as shapes
from gymrecipe.rollouts.columns import Column, Path, find, typed
from gymrecipe.rollouts.files import (
    Compression,
    Digest,
    Source,
    blocks,
    lines,
    starts_inside_a_line,
)
from gymrecipe.rollouts.lines import HEAVY, Item, Line, Response, Shape

KNOWN_FIELDS = 1_000
"""More top-level fields than this are no schema; further ones are not looked at."""

SAMPLING = ("extra_body", "seed", "temperature", "top_p", "max_output_tokens")
"""Parts of the request's metadata that change how a task is sampled, not what is asked."""

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
    bytes: int
    digests: list[bytes]
    columns: dict[str, Any]
    texts: dict[str, list[str]]
    bad: list[Bad]
    fields: list[str]
    found: list[str]
    metrics: dict[str, Metric]
    metric_rows: dict[str, tuple[Any, Any]]


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
    for raw in lines(stream, job.start, end, inside):
        if job.limit is not None and number == job.limit:
            break
        number += 1
        length = raw.offset + raw.length + raw.whole
        rows.add(number, raw.offset, raw.length, raw.data, raw.whole)
    return rows.result(number, length, digest.close())


def _hashed(stream: Any, digest: Digest, length: int) -> Any:
    for block in stream:
        if length > 0:
            digest.update(block[:length] if len(block) > length else block)
            length -= len(block)
        yield block


class _Rows:
    """The columns of a slice while they grow."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.columns: dict[str, Any] = {name: array(code) for name, code in TYPES.items()}
        self.columns.update({task_field(i): array("Q") for i in range(len(job.task_fields))})
        self.codes: dict[str, dict[str, int]] = {"model": {}, "agent": {}}
        for column in job.columns:
            if column.kind == "text":
                self.codes[column.name] = {}
            else:
                self.columns[column.name] = array("d" if column.kind == "number" else "b")
        self.columns.update({name: array("i") for name in self.codes})
        self.bad: list[Bad] = []
        self.found: set[str] = set()
        self.metrics: dict[str, array[float]] = {}
        self.metric_lines: dict[str, array[int]] = {}
        self.prompts: dict[bytes, int] = {}
        self.place = 0
        roots = {"reward", "instance_config", "mask_sample", "agent_ref", "_ng_task_index"}
        roots |= {"_ng_failure_class", "failure_kind"}
        self.names: list[str] = sorted(roots)
        self._learn(())

    def _learn(self, names: Any) -> None:
        self.names += [name for name in names if name not in HEAVY and name not in self.names]
        known = len(self.names) < KNOWN_FIELDS
        fields: list[Any] = [
            ("responses_create_params", shapes.Request | None, None),
            ("response", shapes.Response | str | list[Raw] | None, None),
            ("messages", Raw, shapes.NULL),
            ("output", Raw, shapes.NULL),
        ]
        fields += [(f"f{i}", Raw | UnsetType, UNSET) for i in range(len(self.names))]
        rename = {f"f{i}": name for i, name in enumerate(self.names)}
        struct = msgspec.defstruct("TopLevel", fields, rename=rename, forbid_unknown_fields=known)
        self.decoder = msgspec.json.Decoder(struct)
        self.slots = {name: i + len(HEAVY) for i, name in enumerate(self.names)}
        self.small = [
            (name, self.slots[name]) for name in self.names if not name.startswith("_")
        ]

    def _decode(self, data: bytes) -> tuple[Any, ...]:
        try:
            return msgspec.structs.astuple(self.decoder.decode(data))
        except msgspec.ValidationError:
            before = len(self.names)
            self._learn(msgspec.json.decode(data, type=dict[str, Raw]))
            if len(self.names) == before:
                raise
            return msgspec.structs.astuple(self.decoder.decode(data))

    def add(self, number: int, offset: int, length: int, data: bytes | None, whole: bool) -> None:
        """Take one line: a row, or a bad line."""
        if data is None:
            self.bad.append(Bad(number, offset, length, "line_too_long"))
            return
        if offset == 0 and data.startswith(b"\xef\xbb\xbf"):
            data, offset, length = data[3:], 3, length - 3
        if not data.strip():
            self.bad.append(Bad(number, offset, length, "blank"))
            return
        self.place += 1
        try:
            if not data.isascii():
                data.decode()
            values = self._decode(data)
            shape = shapes.shape_of(Line(*values[: len(HEAVY)], self._raw(values, "tools")))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = shapes.why_bad(data, error)
            if not whole and reason not in ("wrong_type", "not_object"):
                reason = "truncated_tail"
            self.bad.append(Bad(number, offset, length, reason))
            return
        if shape is None:
            reason = "not_a_rollout" if values[0] is None else "no_response"
            self.bad.append(Bad(number, offset, length, reason))
            return
        try:
            self._row(number, offset, data, values, shape)
        except (msgspec.DecodeError, RecursionError, OverflowError):
            self.bad.append(Bad(number, offset, length, "wrong_type"))

    def _raw(self, values: tuple[Any, ...], name: str) -> Raw:
        slot = self.slots.get(name)
        value = UNSET if slot is None else values[slot]
        return shapes.NULL if value is UNSET else value

    def _row(
        self, number: int, offset: int, data: bytes, values: tuple[Any, ...], shape: Shape
    ) -> None:
        looked_up = [self._find(data, values, column.paths) for column in self.job.columns]
        typed_values = [
            typed(raw, column.kind)
            for raw, column in zip(looked_up, self.job.columns, strict=True)
        ]
        reward = typed(self._find(data, values, (self.job.reward,)), "number")
        output = _Output(shape.output)
        response = values[1] if isinstance(values[1], Response) else None
        request = values[0]
        identity = xxhash.xxh3_128_intdigest(data)
        row = {
            "line": number,
            "offset": offset,
            "bytes": len(data),
            "id_hi": identity >> 64,
            "id_lo": identity & 0xFFFF_FFFF_FFFF_FFFF,
            "prompt_key": self._prompt_key(values, shape),
            "index_key": self._index_key(values),
            "group_value": self._group_value(data, values),
            "place": self.place,
            "reward": math.nan if reward is None else reward,
            "turns": output.turns,
            "output_items": len(shape.output),
            "tool_calls": output.calls,
            "answer_chars": len(output.answer),
            "answer_key": output.key(),
            "output_tokens": _output_tokens(response),
            "truncated": _truncated(response),
            "failed": self._failed(values, response),
            "masked": self._masked(values),
            "empty": output.empty,
            "unanswered_calls": output.unanswered,
            "has_tools": len(shape.tools) > 2 if not shapes.is_null(shape.tools) else False,
        }
        columns = self.columns
        for name, value in row.items():
            columns[name].append(value)
        for i, path in enumerate(self.job.task_fields):
            columns[task_field(i)].append(_value_key(self._find(data, values, (path,))))
        model = (response.model if response else None) or (request.model if request else None)
        self._text("model", model)
        self._text("agent", self._agent(values))
        for column, raw, value in zip(self.job.columns, looked_up, typed_values, strict=True):
            if raw is not None:
                self.found.add(column.name)
            if column.kind == "text":
                self._text(column.name, value)
            elif column.kind == "number":
                columns[column.name].append(math.nan if value is None else value)
            else:
                columns[column.name].append(-1 if value is None else value)
        self._measure(values)

    def _text(self, name: str, value: str | None) -> None:
        codes = self.codes[name]
        code = -1 if value is None else codes.setdefault(value, len(codes))
        self.columns[name].append(code)

    def _find(self, data: bytes, values: tuple[Any, ...], paths: tuple[Path, ...]) -> Any:
        for path in paths:
            root = path[0]
            if root in HEAVY:
                raw = find(data, path)
            else:
                slot = self.slots.get(str(root))
                value = UNSET if slot is None else values[slot]
                raw = None if value is UNSET else find(value, path[1:])
            if raw is not None:
                return raw
        return None

    def _agent(self, values: tuple[Any, ...]) -> str | None:
        name: str | None = typed(find(self._raw(values, "agent_ref"), ("name",)), "text")
        return name

    def _index_key(self, values: tuple[Any, ...]) -> int:
        index = _value_key(self._raw(values, "_ng_task_index"))
        if not index:
            return 0
        # The same index of another agent is another task.
        return xxhash.xxh3_64_intdigest((self._agent(values) or "").encode(), seed=index) or 1

    def _group_value(self, data: bytes, values: tuple[Any, ...]) -> int:
        path = self.job.group_by
        return 0 if path is None else _value_key(self._find(data, values, (path,)))

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

    def _prompt_key(self, values: tuple[Any, ...], shape: Shape) -> int:
        request = values[0]
        if request is None or len(request.input) <= 4:  # null, [] or "": the prompt is elsewhere
            return prompt_key(shape)
        parts = (request.input, shape.tools, request.metadata, (request.instructions or "").encode())
        seen = b"\0".join(bytes(part) for part in parts)
        memo = xxhash.xxh3_128_digest(seen)
        if (key := self.prompts.get(memo)) is None:
            key = self.prompts[memo] = prompt_key(shape)
        return key

    def _measure(self, values: tuple[Any, ...]) -> None:
        for name, slot in self.small:
            raw = values[slot]
            if raw is UNSET:
                continue
            value = _metric(raw)
            if value is None:
                continue
            if (known := self.metrics.get(name)) is None:
                known = self.metrics[name] = array("d")
                self.metric_lines[name] = array("Q")
            known.append(value)
            if self.job.metric_rows:
                self.metric_lines[name].append(len(self.columns["line"]) - 1)

    def result(self, number: int, length: int, digests: list[bytes]) -> Scanned:
        """Everything collected, as plain data."""
        rows = self.metrics if self.job.metric_rows else {}
        return Scanned(
            lines=number,
            bytes=length,
            digests=digests,
            columns=self.columns,
            texts={name: list(codes) for name, codes in self.codes.items()},
            bad=self.bad,
            fields=self.names,
            found=sorted(self.found),
            metrics={
                name: Metric(len(values), exact_sum(values), min(values), max(values))
                for name, values in self.metrics.items()
            },
            metric_rows={name: (self.metric_lines[name], values) for name, values in rows.items()},
        )


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
    while (rest := math.fsum([*values, *(-part for part in parts)])) != 0.0:
        parts.append(rest)
        if not math.isfinite(rest):
            break
    return parts


class _Output:
    """What a scan wants to know of a response: model calls, tool calls, the answer."""

    def __init__(self, items: list[Item]) -> None:
        self.turns = 0
        self.calls = 0
        self.answer = ""
        self.said: list[str] = []
        called: list[str | None] = []
        answered: set[str | None] = set()
        text_seen = False
        in_call = False
        for item in items:
            kind = item.type or "message"
            if kind == "function_call_output" or item.role == "tool":
                answered.add(item.call_id or item.tool_call_id)
                in_call = False
                continue
            if kind == "message" and item.role != "assistant":
                in_call = False
                continue
            if not in_call:
                self.turns += 1
                in_call = True
                self.answer = ""
            if kind == "message":
                text = text_of(item.content)
                self.answer += text
                self.said.append(text)
                text_seen = text_seen or bool(text.strip())
                for call in _chat_calls(item.tool_calls):
                    self.calls += 1
                    called.append(call.id)
                    self.said += [call.function.name, bytes(call.function.arguments).decode()]
            elif kind == "function_call":
                self.calls += 1
                called.append(item.call_id or item.id)
                self.said += [item.name or "", bytes(item.arguments).decode()]
            if len(item.generation_token_ids) > 4:  # neither null nor []: the call ends here
                in_call = False
        self.unanswered = any(call not in answered for call in called)
        self.empty = not text_seen and not self.calls

    def key(self) -> int:
        """A hash of all that the model said and called; reasoning and ids aside."""
        return xxhash.xxh3_64_intdigest("\0".join(self.said).encode())


class _Part(msgspec.Struct):
    text: str | None = None
    refusal: str | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Raw = Raw(b"null")


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)
    id: str | None = None


class _Usage(msgspec.Struct):
    output_tokens: int | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


_text = msgspec.json.Decoder(str | list[_Part] | None)
_calls = msgspec.json.Decoder(list[_Call] | None)
_usage = msgspec.json.Decoder(_Usage | None)
_incomplete = msgspec.json.Decoder(_Incomplete | None)
_any = msgspec.json.Decoder()
_sorted = msgspec.json.Encoder(order="sorted")


def text_of(content: Raw) -> str:
    """The text of a message's content: its parts joined with nothing between."""
    value = _text.decode(content)
    if isinstance(value, list):
        return "".join(part.text or part.refusal or "" for part in value)
    return value or ""


def _chat_calls(raw: Raw) -> list[_Call]:
    return _calls.decode(raw) or []


def _output_tokens(response: Response | None) -> int:
    if response is None:
        return -1
    try:
        usage = _usage.decode(response.usage)
    except msgspec.ValidationError:
        return -1
    return -1 if usage is None or usage.output_tokens is None else usage.output_tokens


def _truncated(response: Response | None) -> bool:
    if response is None:
        return False
    try:
        details = _incomplete.decode(response.incomplete_details)
    except msgspec.ValidationError:
        details = None
    return response.status == "incomplete" or (details is not None and details.reason is not None)


def _value_key(raw: Any) -> int:
    """A hash of a JSON value, 0 where it is missing or null."""
    if raw is None:
        return 0
    value = _any.decode(raw)
    if value is None:
        return 0
    return xxhash.xxh3_64_intdigest(_sorted.encode(value)) or 1


def prompt_key(shape: Shape) -> int:
    """A hash of what the model was shown; 0 where nothing of it is recorded.

    The spelling of the request does not count: a string is one user message, a missing `type` is
    a message, text parts are joined, ids and null keys are left out, and so are the sampling
    settings in its metadata.
    """
    items = [_shown(item) for item in shape.prompt]
    metadata = _any.decode(shape.metadata)
    about = (
        {name: value for name, value in metadata.items() if name not in SAMPLING}
        if isinstance(metadata, dict)
        else {}
    )
    if not (items or shape.instructions or about):
        return 0
    tools = _without_nulls(_any.decode(shape.tools)) or []
    content = [shape.instructions or "", items, tools, _without_nulls(about)]
    return xxhash.xxh3_64_intdigest(_sorted.encode(content)) or 1


def _shown(item: Item) -> list[Any]:
    try:
        content: Any = text_of(item.content) if _is_text(item.content) else None
    except msgspec.ValidationError:
        content = None
    if content is None:
        content = _without_nulls(_any.decode(item.content))
    rest = (item.arguments, item.output, item.summary, item.tool_calls)
    return [
        item.type or "message",
        item.role,
        item.name,
        content,
        *(_without_nulls(_any.decode(part)) for part in rest),
    ]


def _is_text(content: Raw) -> bool:
    value = _any.decode(content)
    return not isinstance(value, list) or all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in value
    )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value
