"""Stage result: rows that hold only which rollouts they are, with the rollouts' columns when read.

The columns of the rollouts are in memory once. A stage's result holds `row`, or `chosen_row` and
`rejected_row`, and columns that the rollouts do not have. The next stage gets it wide: every column
is there by name, and those of its rollouts are gathered if something reads them.
"""

from __future__ import annotations

import msgspec

from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import PAIR_COLUMNS, ROWS
from gymrecipe.rollouts.lookup import looked_up


class StageResult(msgspec.Struct, frozen=True):
    """The result of a stage: the columns it holds itself, and the names of all its columns. Where
    its rows are figures, `figures_of` are the rollouts that these are of.
    """

    held: pl.DataFrame
    names: tuple[str, ...]
    figures_of: pl.Series | None = None

    def wide(self, rollouts: pl.DataFrame) -> pl.LazyFrame:
        """All columns. Row n of the rollouts is the rollout n."""
        if self.held.columns == ["row"] and self.held["row"].equals(rollouts["row"]):
            return rollouts.lazy().select(self.names)
        places = _places(self.names, rollouts)
        return self.held.lazy().select(
            name if name in self.held.columns else _gathered(rollouts, *places[name])
            for name in self.names
        )


def narrow(frame: pl.LazyFrame, rows: StageResult, rollouts: pl.DataFrame) -> list[str]:
    """The columns that have to be held of what a stage made of the rows. The others are the columns
    of the rollouts as they were, and are gathered when they are read.
    """
    names = tuple(frame.collect_schema().names())
    places = _places(names, rollouts)
    return [
        name
        for name in names
        if name not in places or {name, places[name][0]} & set(rows.held.columns)
    ]


def _places(names: tuple[str, ...], rollouts: pl.DataFrame) -> dict[str, tuple[str, str, str]]:
    """Columns that may be gathered, by name: the rollouts' column, where its place is, the name."""
    found = {
        side + column: (column, at, side + column)
        for at, side in ROWS.items()
        if at in names
        for column in rollouts.columns
    }
    if "chosen_row" in names:
        found |= {name: (name, "chosen_row", name) for name in PAIR_COLUMNS if name != "gap"}
    return found


def _gathered(rollouts: pl.DataFrame, column: str, at: str, name: str) -> pl.Expr:
    return looked_up(rollouts[column], pl.col(at)).alias(name)
