"""Packed: a scanned slice as bytes, its columns named by what they hold of a line.

Two recipes may call the same path otherwise, or another path the same: what one of them packed is
what the other one asked for if the paths and kinds are the same.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from gymrecipe.rollouts.columns import Path, name_of
from gymrecipe.rollouts.runs import ARRAYS, Runs
from gymrecipe.rollouts.scanned import TYPES, Job, Metric, Scanned, task_field

METRIC_ROWS = "metric rows"

Packed = tuple[str, bytes]
"""An array: its type code and its bytes."""


class Record(msgspec.Struct, array_like=True):
    """A slice as it is kept; the fields are those of Scanned, `length` its `bytes`, and `bad` the
    arrays of its runs.
    """

    lines: int
    length: int
    digests: list[bytes]
    columns: dict[str, Packed]
    texts: dict[str, list[str]]
    bad: dict[str, Packed]
    bad_rows: int
    blanks: int
    fields: list[str]
    found: list[str]
    metrics: dict[str, Metric]
    metric_rows: dict[str, tuple[Packed, Packed]]


class Asked(msgspec.Struct, frozen=True):
    """What a job asks of each line: columns, and which paths some line has, by their names in the
    job, as the names that a record has for them.
    """

    columns: dict[str, str]
    found: tuple[tuple[str, str], ...]
    metric_rows: bool

    @property
    def names(self) -> frozenset[str]:
        """All that is asked, in the names of a record."""
        more = [METRIC_ROWS] if self.metric_rows else []
        return frozenset([*self.columns.values(), *(path for _, path in self.found), *more])

    @property
    def ambiguous(self) -> bool:
        """Whether one name stands for two paths, so that a scan cannot tell which was found."""
        return len({name for name, _ in self.found}) < len(self.found)


def asked(job: Job) -> Asked:
    """What the job asks of each line."""
    columns = {"reward": _name("number", job.reward)}
    if job.group_by:
        columns["group_value"] = _name("key", job.group_by)
    columns |= {task_field(i): _name("key", path) for i, path in enumerate(job.task_fields)}
    columns |= {column.name: _name(column.kind, *column.paths) for column in job.columns}
    found = {(column.name, _name("found", *column.paths)) for column in job.columns}
    found |= {(name_of(path), _name("found", path)) for path in job.present}
    return Asked(columns, tuple(sorted(found)), job.metric_rows)


def _name(kind: str, *paths: Path) -> str:
    return f"{kind} {msgspec.json.encode(paths).decode()}"


def pack(scanned: Scanned, asked: Asked) -> Record:
    """The slice as it is kept. A column that was not asked for is left out."""
    named = asked.columns
    kept = {name for name in scanned.columns if name in named or name not in _ASKED}
    found = set(scanned.found)
    return Record(
        lines=scanned.lines,
        length=scanned.bytes,
        digests=scanned.digests,
        columns={named.get(name, name): _pack(scanned.columns[name]) for name in sorted(kept)},
        texts={named.get(name, name): texts for name, texts in scanned.texts.items()},
        bad={name: _pack(getattr(scanned.bad, name)) for name in ARRAYS},
        bad_rows=scanned.bad.rows,
        blanks=scanned.bad.blanks,
        fields=scanned.fields,
        found=[path for name, path in asked.found if name in found],
        metrics=scanned.metrics,
        metric_rows={
            name: (_pack(rows), _pack(values))
            for name, (rows, values) in scanned.metric_rows.items()
        },
    )


def unpack(record: Record, asked: Asked) -> Scanned:
    """The slice as a scan for what is asked gives it."""
    named = asked.columns
    columns: dict[str, Any] = {
        name: _unpack(record.columns[named.get(name, name)])
        for name in dict.fromkeys([*TYPES, "model", "agent", *named])
        if name in named or name not in _ASKED
    }
    for name in _ASKED - columns.keys():
        columns[name] = array(TYPES[name], bytes(8 * len(columns["line"])))
    found = set(record.found)
    texts = {name: record.texts.get(named.get(name, name)) for name in columns}
    rows = record.metric_rows if asked.metric_rows else {}
    return Scanned(
        lines=record.lines,
        bytes=record.length,
        digests=record.digests,
        columns=columns,
        texts={name: known for name, known in texts.items() if known is not None},
        bad=Runs(
            **{name: _unpack(packed) for name, packed in record.bad.items()},
            rows=record.bad_rows,
            blanks=record.blanks,
        ),
        fields=record.fields,
        found=[name for name, path in asked.found if path in found],
        metrics=record.metrics,
        metric_rows={name: (_unpack(at), _unpack(values)) for name, (at, values) in rows.items()},
    )


def added(record: Record, older: Record) -> Record:
    """The record with what only an older one of the same slice has: other recipes asked for it."""
    return msgspec.structs.replace(
        record,
        columns=older.columns | record.columns,
        texts=older.texts | record.texts,
        found=sorted({*older.found, *record.found}),
        metric_rows=record.metric_rows or older.metric_rows,
    )


_ASKED = frozenset({"reward", "group_value"})
"""Columns that every scan has and that hold what the job says; the first is always asked."""


def _pack(values: array[Any]) -> Packed:
    return values.typecode, values.tobytes()


def _unpack(packed: Packed) -> array[Any]:
    code, data = packed
    return array(code, data)
