"""Cache columns: what a job asks of each line, under names that mean the same in every job.

A recipe names its columns as it likes, so that a name of one says nothing to the next. What is kept
of a scan is named by path and kind instead: who asks for the same path as the same kind finds it.
These are the shared names.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from gymrecipe.rollouts.columns import Path, name_of
from gymrecipe.rollouts.scanned import TYPES, Job, Scanned, task_field

METRIC_ROWS = "metric rows"

_ASKED = frozenset({"reward", "group_value"})
"""Columns that every scan has, though what they hold depends on the job. Each job asks for
`reward`, and for `group_value` if it has a `group_by`.
"""


class Asked(msgspec.Struct, frozen=True):
    """What a job asks of each line: the shared names of its `columns` by its own, and pairs of both
    for the paths of which it wants to know whether some line has them (`found`).
    """

    columns: dict[str, str]
    found: tuple[tuple[str, str], ...]
    metric_rows: bool

    @property
    def names(self) -> frozenset[str]:
        """All that is asked, by the shared names."""
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


def for_any(scanned: Scanned, asked: Asked) -> Scanned:
    """A slice that was scanned for this job, under the shared names. What the job did not ask for
    is left out.
    """
    named = asked.columns
    kept = {name for name in scanned.columns if name in named or name not in _ASKED}
    found = set(scanned.found)
    return msgspec.structs.replace(
        scanned,
        columns={named.get(name, name): scanned.columns[name] for name in sorted(kept)},
        texts={named.get(name, name): texts for name, texts in scanned.texts.items()},
        found=[path for name, path in asked.found if name in found],
    )


def for_job(scanned: Scanned, asked: Asked) -> Scanned:
    """A slice that is kept under the shared names, as a scan for this job would give it."""
    named = asked.columns
    columns: dict[str, Any] = {
        name: scanned.columns[named.get(name, name)]
        for name in dict.fromkeys([*TYPES, "model", "agent", *named])
        if name in named or name not in _ASKED
    }
    for name in _ASKED - columns.keys():
        columns[name] = array(TYPES[name], bytes(8 * len(columns["line"])))
    found = set(scanned.found)
    texts = {name: scanned.texts.get(named.get(name, name)) for name in columns}
    return msgspec.structs.replace(
        scanned,
        columns=columns,
        texts={name: known for name, known in texts.items() if known is not None},
        found=[name for name, path in asked.found if path in found],
        metric_rows=scanned.metric_rows if asked.metric_rows else {},
    )


def added(scanned: Scanned, older: Scanned) -> Scanned:
    """The slice, and what only an older scan of the same bytes has, which was for other recipes.
    Both are under the shared names.
    """
    return msgspec.structs.replace(
        scanned,
        columns=older.columns | scanned.columns,
        texts=older.texts | scanned.texts,
        found=sorted({*older.found, *scanned.found}),
        metric_rows=scanned.metric_rows or older.metric_rows,
    )
