"""Asked: what a job asks of each line, in names that stand for the same in any job.

Two recipes may call the same path otherwise, or another path the same: what one of them had scanned
is what the other one asks for if the paths and kinds are the same.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from gymrecipe.rollouts.columns import Path, name_of
from gymrecipe.rollouts.scanned import TYPES, Job, Scanned, task_field

METRIC_ROWS = "metric rows"

_ASKED = frozenset({"reward", "group_value"})
"""Columns that every scan has and that hold what the job says; the first is always asked."""


class Asked(msgspec.Struct, frozen=True):
    """What a job asks of each line: columns, and which paths some line has, by their names in the
    job, as the names that stand for them in any job.
    """

    columns: dict[str, str]
    found: tuple[tuple[str, str], ...]
    metric_rows: bool

    @property
    def names(self) -> frozenset[str]:
        """All that is asked, in the names of any job."""
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
    """The slice in the names of any job. A column that was not asked for is left out."""
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
    """The slice, which has the names of any job, as a scan for what is asked gives it."""
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
    """The slice with what only an older scan of it has, which was for other recipes; both in the
    names of any job.
    """
    return msgspec.structs.replace(
        scanned,
        columns=older.columns | scanned.columns,
        texts=older.texts | scanned.texts,
        found=sorted({*older.found, *scanned.found}),
        metric_rows=scanned.metric_rows or older.metric_rows,
    )
