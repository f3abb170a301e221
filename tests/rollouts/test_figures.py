"""Figures of a column: exact, absent where there is nothing to tell, whatever the order."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts.figures import (
    QUANTILES,
    describe,
    mean,
    quantile,
    repeated,
    std,
    told_apart,
    total,
)

REWARDS = st.lists(
    st.none() | st.floats(-100, 100) | st.sampled_from([0.0, 1.0, 0.1, 0.7]), max_size=30
)


def series(values: list[float | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.Float64)


def nearest_rank(values: list[float], percent: float) -> float:
    """The smallest value that at least that share of all do not exceed, by counting."""
    share = Fraction(str(percent)) / 100
    return min(
        value
        for value in values
        if Fraction(sum(other <= value for other in values), len(values)) >= share
    )


@given(REWARDS, st.integers(0, 100) | st.sampled_from([0.5, 2.5, 7.0, 29.0, 57.0, 99.9]))
def test_a_quantile_is_the_nearest_rank(values: list[float | None], percent: float) -> None:
    present = [value for value in values if value is not None]
    expected = nearest_rank(present, percent) if present else None
    assert quantile(series(values), percent) == expected


def test_seven_percent_of_a_hundred_is_the_seventh() -> None:
    hundred = series([float(value) for value in range(1, 101)])
    assert [quantile(hundred, percent) for percent in range(1, 101)] == hundred.to_list()


@given(REWARDS)
def test_a_mean_is_the_exact_mean_rounded_and_nulls_do_not_count(
    values: list[float | None],
) -> None:
    present = [value for value in values if value is not None]
    expected = math.fsum(present) / len(present) if present else None
    assert mean(series(values)) == expected


@given(REWARDS)
def test_a_std_is_that_of_a_sample_and_absent_for_less_than_two(
    values: list[float | None],
) -> None:
    present = [value for value in values if value is not None]
    found = std(series(values))
    if len(present) < 2:
        assert found is None
    else:
        assert found == pytest.approx(statistics.stdev(present), abs=1e-9)


def test_the_std_of_equal_values_is_zero() -> None:
    assert std(series([0.1] * 7)) == pytest.approx(0.0, abs=1e-15)


@given(REWARDS, st.randoms(use_true_random=False))
def test_no_figure_depends_on_the_order(values: list[float | None], chance: random.Random) -> None:
    shuffled = chance.sample(values, len(values))
    assert describe(series(shuffled)) == describe(series(values))


def test_a_description_of_nothing_has_no_figures() -> None:
    found = describe(series([None, None]))
    assert (found["n"], found["missing"], found["distinct"]) == (0, 2, 0)
    names = ["mean", "std", *(f"p{percent}" for percent in QUANTILES)]
    assert [found[name] for name in names] == [None] * len(names)


def test_a_description_has_its_quantiles_from_least_to_most() -> None:
    found = describe(series([0.0, 1.0, 1.0, None, -0.5]))
    assert (found["n"], found["missing"], found["distinct"]) == (4, 1, 3)
    assert [found[f"p{percent}"] for percent in (0, 50, 100)] == [-0.5, 0.0, 1.0]


def test_values_that_a_sum_has_rounded_apart_are_not_distinct() -> None:
    assert describe(series([0.1 + 0.2, 0.3, 1.0, 0.7 + 0.2 + 0.1]))["distinct"] == 2
    assert describe(pl.Series([3, 1, 3], dtype=pl.UInt32))["distinct"] == 2


def test_whole_numbers_have_figures_too() -> None:
    assert describe(pl.Series([1, 2, 3]))["p50"] == 2.0


@pytest.mark.parametrize("values", [[1e308] * 9, [1.7e308, -1.7e308] * 3, [1e200, -1e200]])
def test_values_at_the_edge_of_floats_are_no_crash(values: list[float]) -> None:
    assert describe(series(values))["n"] == len(values)


@given(st.lists(st.floats(-1e6, 1e6)), st.randoms(use_true_random=False))
def test_a_total_is_exact(values: list[float], chance: random.Random) -> None:
    exact = float(sum(map(Fraction, values), Fraction(0)))
    assert total(values) == total(chance.sample(values, len(values))) == exact


def test_a_value_that_is_there_more_than_once_is_repeated_and_a_missing_one_is_not() -> None:
    values = pl.Series([3, None, 1, 3, 2, 1, 3, None])
    assert sorted(repeated(values)) == [1, 3]
    assert repeated(values.clear()).to_list() == repeated(values.head(1)).to_list() == []


@pytest.mark.parametrize(
    ("figure", "limits", "shown"),
    [
        (0.78333333, [0.2], ["0.78", "0.20"]),
        (0.2999, [0.3], ["0.2999", "0.3"]),
        (0.6049, [None, 0.6], ["0.6049", "None", "0.6"]),
        (None, [0.3], ["-", "0.30"]),
    ],
)
def test_a_figure_never_looks_like_a_limit_that_it_does_not_keep(
    figure: float | None, limits: list[float | None], shown: list[str]
) -> None:
    show = told_apart(lambda value: "-" if value is None else f"{value:.2f}", figure, *limits)
    assert [show(value) for value in [figure, *limits]] == shown
