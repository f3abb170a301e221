"""Wanted: what a recipe asks of the scan."""

from __future__ import annotations

import msgspec

from gymrecipe.rollouts.columns import Column, Path


class Wanted(msgspec.Struct, frozen=True):
    """What a recipe asks of the scan: columns, the score's path, grouping, limits.

    The columns of the table in `unread` are left out of it. `places` says of a column or path
    which part of the recipe asks for it, `given` which expression stands there, `names` what else
    may be named there; `reward_at` says it of the score. `hoped` are those of `present` that may
    be on no line, by the part of the recipe that lists them.
    """

    columns: tuple[Column, ...]
    present: tuple[Path, ...]
    reward: Path
    task_fields: tuple[Path, ...]
    group_by: Path | None
    metric_rows: bool
    limit: int | None
    max_bad_rows: int | str | None
    unread: frozenset[str] = frozenset()
    places: dict[str, str] = {}
    given: dict[str, str] = {}
    names: tuple[str, ...] = ()
    reward_at: str = "reward"
    hoped: dict[str, tuple[Path, ...]] = {}
