"""Strategies: which places of a group are held against each other."""

from __future__ import annotations

from itertools import combinations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gymrecipe.stages
from gymrecipe.registry import STRATEGIES, summary

assert gymrecipe.stages

Tiers = list[tuple[bool, bool]]


def candidates(strategy: str, *groups: Tiers) -> list[list[tuple[int, int]]]:
    """Of each group, given as (high, low) of its ranked rollouts, the places held against."""
    ranked = pl.LazyFrame(
        [
            (group, place, len(tiers), place + 1, len(tiers), high, low)
            for group, tiers in enumerate(groups)
            for place, (high, low) in enumerate(tiers)
        ],
        schema={
            "group": pl.UInt64, "place": pl.Int64, "n": pl.Int64, "first": pl.Int64,
            "end": pl.Int64, "high": pl.Boolean, "low": pl.Boolean,
        },
        orient="row",
    )  # fmt: skip
    made = STRATEGIES[strategy].function(ranked).collect()
    found: list[list[tuple[int, int]]] = [[] for _ in groups]
    for group, chosen, rejected in sorted(made.iter_rows()):
        found[group].append((chosen, rejected))
    return found


def group(size: int) -> Tiers:
    return [(True, True)] * size


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, []), (2, [(0, 1)]), (3, [(0, 2)]), (4, [(0, 3), (1, 2)]), (5, [(0, 4), (1, 3)])],
)
def test_mirrored_uses_each_place_once(size: int, expected: list[tuple[int, int]]) -> None:
    assert candidates("mirrored", group(size)) == [expected]


def test_best_vs_worst_takes_the_first_and_the_last() -> None:
    assert candidates("best_vs_worst", group(1), group(2), group(5)) == [[], [(0, 1)], [(0, 4)]]


def test_best_vs_second_takes_the_first_two() -> None:
    assert candidates("best_vs_second", group(1), group(2), group(5)) == [[], [(0, 1)], [(0, 1)]]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_all_takes_every_two(sizes: list[int]) -> None:
    assert candidates("all", *map(group, sizes)) == [
        list(combinations(range(size), 2)) for size in sizes
    ]


def test_tiers_take_the_ith_best_high_with_the_ith_worst_low() -> None:
    tiers = [(True, False), (True, False), (False, False), (False, True), (False, True)]
    assert candidates("tiers", tiers) == [[(0, 4), (1, 3)]]


def test_tiers_make_as_many_as_the_smaller_tier_has() -> None:
    high, low = (True, False), (False, True)
    assert candidates("tiers", [high, high, low], [high, low, low]) == [[(0, 2)], [(0, 2)]]


def test_tiers_do_not_mix_groups() -> None:
    assert candidates("tiers", [(True, False)], [(False, True)]) == [[], []]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_no_rollouts_give_no_candidates(strategy: str) -> None:
    assert candidates(strategy, []) == [[]]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_strategy_says_what_it_does(strategy: str) -> None:
    assert summary(STRATEGIES[strategy].function).endswith(".")
