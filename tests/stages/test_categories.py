"""Categories: what the groups are called that the values of a column make."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from gymrecipe.rollouts.columns import category_of
from gymrecipe.stages.categories import categories


def called(name: str, values: list[Any], dtype: Any = None) -> list[str | None]:
    table = pl.DataFrame({name: pl.Series(values, dtype=dtype)})
    return table.select(categories(name, table.schema[name])).to_series().to_list()


@pytest.mark.parametrize(
    ("values", "dtype", "names"),
    [
        (["a", None], pl.String, ["a", "general"]),
        (["a", None], pl.Categorical(), ["a", "general"]),
        ([3.0, 0.5, -2.0, None], pl.Float64, ["3", "0.5", "-2", "general"]),
        ([3, None], pl.UInt32, ["3", "general"]),
        ([True, False, None], pl.Boolean, ["true", "false", "general"]),
    ],
)
def test_a_category_is_called_as_its_value_is_written(
    values: list[Any], dtype: Any, names: list[str]
) -> None:
    assert called("level", values, dtype) == names


@pytest.mark.parametrize("value", [3.0, 3, 0.5, -2.0, True, False, "a", 2.0**60])
def test_a_column_and_a_line_call_a_value_the_same(value: Any) -> None:
    assert called("level", [value]) == [category_of(value)]


@pytest.mark.parametrize("name", ["label", "chosen_label"])
def test_labels_are_desirable_or_undesirable(name: str) -> None:
    assert called(name, [True, False]) == ["desirable", "undesirable"]
