"""Values by which row they are of."""

import polars as pl

from gymrecipe.rollouts.lookup import looked_up, together


def test_a_value_is_that_of_its_place_and_no_place_has_none() -> None:
    values = pl.Series(["a", None, "c"])
    at = pl.DataFrame({"at": [2, 0, None, 1, 2]}, schema={"at": pl.UInt32})
    assert at.select(looked_up(values, pl.col("at"))).to_series().to_list() == [
        "c", "a", None, None, "c",
    ]  # fmt: skip


def test_no_place_has_no_value() -> None:
    none = pl.DataFrame({"at": []}, schema={"at": pl.UInt32})
    assert none.select(looked_up(pl.Series([0.5]), pl.col("at"))).schema == {"at": pl.Float64}


def test_groups_are_looked_for_together_and_a_large_one_alone() -> None:
    sizes = [("a", 2), ("b", 3), ("c", 9), ("d", 1), ("e", 4), ("f", 1)]
    assert [*together(sizes, 5)] == [["a", "b"], ["c"], ["d", "e"], ["f"]]
    assert [*together([], 5)] == []
