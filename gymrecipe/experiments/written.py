"""Written: what one write made, and what became of the rollouts that came to it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from gymrecipe.experiments.manifest import Output
from gymrecipe.formats.contents import Contents
from gymrecipe.formats.job import Fault
from gymrecipe.lazy_polars import pl

KEPT_CAUSES = 1_000
"""Different faults with causes that are kept of a write; those behind them keep their reason alone.
"""

TOLD_CAUSES = 20
"""Causes that the manifest has of a write; `rejects.parquet` has that of each line."""

OF_BOTH = ("prompts_differ", "identical_answers", "parted_by_environment")
"""The reasons that speak of a pair, and so of both its sides."""


class WriteResult(msgspec.Struct):
    """What one write made.

    `used` (`row`, `side`, `output`, `at`) and `rejected` (`row`, `reason`, and `cause` where some
    have one) speak of rollouts, `reasons` and `causes` (a reason with its cause, and how many have
    it) of the rows of the write's own unit; `written` are the rows that were written;
    `longest` is how many bytes the longest record has. `is_late`: a loader that infers the columns
    from the beginning misses some, because rows with further keys or types could not lead: the
    order is strict, or the first file has no room for all of them. `rounded` are columns of jsonl
    files that have fractions, and integers which no float is equal to; `apart` those that the two
    splits show other keys or types of. `figures` describe what was written, and `warnings` are
    to be told of it.
    """

    outputs: list[Output]
    written: pl.DataFrame
    used: list[pl.DataFrame] = []
    rejected: list[pl.DataFrame] = []
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    causes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    example: str | None = None
    longest: int = 0
    is_late: bool = False
    rounded: set[str] = set()
    apart: list[str] = []
    contents: Contents = msgspec.field(default_factory=Contents)
    figures: dict[str, Any] = {}
    warnings: list[str] = []

    @property
    def rows(self) -> int:
        """How many examples there are."""
        return sum(output.rows for output in self.outputs)

    def account(
        self,
        rows: pl.DataFrame,
        made: pl.DataFrame,
        places: pl.DataFrame,
        sides: tuple[str, ...],
        faults: dict[int, Fault],
    ) -> None:
        """Note which rollouts the rows that were `made` used, and where (`places`); and why, and
        for which side, the others could not be written.
        """
        of_tasks = "rows" in rows.columns
        for side in sides:
            name = pl.lit(side.removesuffix("_"), pl.Categorical())
            used = made.select(row="rows" if of_tasks else f"{side}row").hstack(places)
            used = used.with_columns(side=name)
            self.used.append(used.explode("row") if of_tasks else used)
        if not faults:
            return
        why = list(faults.values())
        self.reasons.update(fault.reason for fault in why)
        self.causes.update((fault.reason, fault.cause) for fault in why if fault.cause)
        left = rows[list(faults)]
        for number, side in enumerate(sides):
            own = [
                fault
                if len(sides) == 1 or fault.reason in OF_BOTH or number == fault.side
                else Fault("partner_rejected")
                for fault in why
            ]
            lost = left.select(
                row="rows" if of_tasks else f"{side}row",
                reason=pl.Series([fault.reason for fault in own]),
            )
            if any(fault.cause for fault in own):
                causes = [fault.cause or None for fault in own]
                lost = lost.with_columns(cause=pl.Series(causes, dtype=pl.Categorical()))
            self.rejected.append(lost.explode("row") if of_tasks else lost)

    def told_causes(self) -> list[dict[str, Any]]:
        """The most frequent causes, with the rows of each."""
        often = sorted(self.causes.items(), key=lambda item: (-item[1], item[0]))
        return [
            {"reason": reason, "cause": cause, "rows": count}
            for (reason, cause), count in often[:TOLD_CAUSES]
        ]


def told_once(fault: Fault, known: dict[Fault, Fault]) -> Fault:
    """The fault, of which equal ones are one object, since a write may have as many as rows."""
    if fault not in known and fault.cause and len(known) >= KEPT_CAUSES:
        fault = fault._replace(cause="")
    return known.setdefault(fault, fault)
