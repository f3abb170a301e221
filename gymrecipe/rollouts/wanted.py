"""Wanted: what a recipe asks of the scan."""

from __future__ import annotations

import msgspec

from gymrecipe.rollouts.columns import Column, Path


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe asks of the scan: columns, the score's path, grouping, limits.

    `present` are paths of which some line has to have each; those in `hoped` may be on no line.
    `unread` are columns that the table is made without, since nothing reads them.

    The rest is for what is said where something is missing. `places` gives the part of the recipe
    that asks for a column or path, `reward_at` that which says where the score is, `given` the
    expression that stands at such a part, and `hoped` the paths that one lists. `names` are names
    of columns that could have been meant beside the fields of a line.
    """

    columns: tuple[Column, ...] = ()
    present: tuple[Path, ...] = ()
    reward: Path
    task_fields: tuple[Path, ...] = ()
    group_by: Path | None = None
    metric_rows: bool = False
    limit: int | None = None
    max_bad_rows: int | str | None = None
    unread: frozenset[str] = frozenset()
    places: dict[str, str] = {}
    given: dict[str, str] = {}
    names: tuple[str, ...] = ()
    reward_at: str = "reward"
    hoped: dict[str, tuple[Path, ...]] = {}
