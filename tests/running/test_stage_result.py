"""Rows that hold only which rollouts they are."""

from __future__ import annotations

import polars as pl

from gymrecipe.running.stage_result import StageResult, narrow

ROLLOUTS = pl.DataFrame(
    {"row": [0, 1, 2], "reward": [0.0, 0.5, 1.0], "draw": [0.1, 0.2, 0.3]},
    schema={"row": pl.UInt32, "reward": pl.Float64, "draw": pl.Float64},
)
PAIRS = ("gap", "draw", "chosen_row", "chosen_reward", "rejected_row", "rejected_reward")


def rows(*numbers: int, names: tuple[str, ...] = ("row", "reward")) -> StageResult:
    return StageResult(pl.DataFrame({"row": numbers}, schema={"row": pl.UInt32}), names)


def pairs() -> StageResult:
    held = pl.DataFrame({"chosen_row": [2], "rejected_row": [0], "gap": [1.0]})
    return StageResult(held, PAIRS)


def test_rows_have_the_columns_of_their_rollouts_in_their_order() -> None:
    wide = rows(2, 0).wide(ROLLOUTS).collect()
    assert wide.rows(named=True) == [{"row": 2, "reward": 1.0}, {"row": 0, "reward": 0.0}]


def test_all_rows_are_the_rollouts() -> None:
    wide = rows(0, 1, 2, names=("row", "reward", "draw")).wide(ROLLOUTS).collect()
    assert wide.equals(ROLLOUTS)


def test_as_many_rows_in_another_order_keep_it() -> None:
    assert rows(2, 0, 1).wide(ROLLOUTS).collect()["reward"].to_list() == [1.0, 0.0, 0.5]


def test_a_pair_has_both_sides_and_the_chosen_ones_draw() -> None:
    wide = pairs().wide(ROLLOUTS).collect()
    assert wide.columns == list(PAIRS)
    assert wide.row(0) == (1.0, 0.3, 2, 1.0, 0, 0.0)


def test_what_the_rollouts_have_is_not_held() -> None:
    wide = rows(1).wide(ROLLOUTS).with_columns(label=pl.lit(True))
    assert narrow(wide, rows(1), ROLLOUTS) == ["row", "label"]
    made = pairs().wide(ROLLOUTS)
    assert narrow(made, rows(1), ROLLOUTS) == ["gap", "chosen_row", "rejected_row"]


def test_a_column_that_was_changed_stays_changed_also_in_pairs() -> None:
    changed = StageResult(rows(0, 2).held.with_columns(reward=pl.lit(9.0)), ("row", "reward"))
    assert changed.wide(ROLLOUTS).collect()["reward"].to_list() == [9.0, 9.0]
    assert narrow(changed.wide(ROLLOUTS), changed, ROLLOUTS) == ["row", "reward"]
    held = narrow(pairs().wide(ROLLOUTS), changed, ROLLOUTS)
    assert {"chosen_reward", "rejected_reward"} <= {*held}
    assert "draw" not in held
