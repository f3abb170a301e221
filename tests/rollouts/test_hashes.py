"""Hashes over columns: the same on every machine, and as good as chance."""

from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts import hashes
from gymrecipe.rollouts.hashes import combine, parts, uniform
from tests.full import often

WORD = 2**64 - 1
WORDS = st.integers(0, WORD)


def splitmix(value: int) -> int:
    """The finaliser of SplitMix64, in Python's own integers."""
    z = (value + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def keys(tag: int, *columns: list[int | None]) -> list[int | None]:
    frame = pl.DataFrame([pl.Series(f"c{i}", c, dtype=pl.UInt64) for i, c in enumerate(columns)])
    return frame.select(combine(tag, *map(pl.col, frame.columns))).to_series().to_list()


def draws(values: list[int], seed: int, salt: str = "draw") -> list[float]:
    frame = pl.DataFrame({"key": pl.Series(values, dtype=pl.UInt64)})
    return frame.select(uniform(pl.col("key"), seed, salt)).to_series().to_list()


def test_the_mix_is_the_published_one() -> None:
    # The first outputs of SplitMix64 from state 0, as its authors print them.
    assert [splitmix(0), splitmix(0x9E3779B97F4A7C15)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@given(st.integers(0, 9), st.lists(st.tuples(WORDS, WORDS), min_size=1))
def test_a_key_is_what_plain_integers_give(tag: int, rows: list[tuple[int, int]]) -> None:
    one, other = (list(column) for column in zip(*rows, strict=True))
    expected = [splitmix(splitmix(a ^ splitmix(tag)) ^ splitmix(b)) for a, b in rows]
    assert keys(tag, one, other) == expected


def test_a_key_depends_on_the_tag_the_order_and_the_number_of_its_parts() -> None:
    found = {keys(*parts)[0] for parts in ((1, [1], [2]), (1, [2], [1]), (2, [1], [2]), (1, [1]))}
    assert len(found) == 4


def test_zeros_do_not_vanish_in_a_key() -> None:
    assert keys(0, [0]) != keys(0, [0], [0]) != keys(0, [0], [0], [0])


def test_a_key_of_a_missing_part_is_missing() -> None:
    assert keys(1, [None, 1], [1, None]) == [None, None]


def test_a_row_has_the_same_key_in_every_frame() -> None:
    rows = range(often(200, 1_000))
    assert keys(3, [*rows], [*rows]) == [keys(3, [i], [i])[0] for i in rows]


@given(st.lists(WORDS, min_size=1), st.integers(0, 2**40))
def test_a_draw_is_in_the_half_open_unit_interval(values: list[int], seed: int) -> None:
    assert all(0 <= draw < 1 for draw in draws(values, seed))


def test_a_draw_never_changes_between_versions() -> None:
    assert draws([0, 1, WORD], 0) == [0.6135039326114995, 0.3030974623246525, 0.21169941549436644]


def test_another_seed_or_salt_is_another_draw() -> None:
    values = list(range(100))
    first = draws(values, 0)
    assert not set(first) & set(draws(values, 1))
    assert not set(first) & set(draws(values, 0, "split"))
    assert first == draws(values, 0)


def test_draws_of_neighbours_look_random() -> None:
    found = draws(list(range(10_000)), 0)
    tenths = [sum(int(draw * 10) == tenth for draw in found) for tenth in range(10)]
    assert min(tenths) > 900
    assert max(tenths) < 1100
    rising = sum(a < b for a, b in itertools.pairwise(found))
    assert 4800 < rising < 5200


@given(st.lists(st.none() | WORDS, max_size=30), st.integers(1, 9))
def test_each_row_is_in_one_part_with_all_rows_of_its_key(
    words: list[int | None], most: int
) -> None:
    frame = pl.DataFrame({"key": pl.Series(words, dtype=pl.UInt64)}).with_row_index()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashes, "PART_ROWS", most)
        found = [frame.filter(part) for part in parts("key", frame.height)]
    assert len(found) == 1 + frame.height // most
    assert sorted(row for part in found for row in part["index"]) == list(range(len(words)))
    keys = [key for part in found for key in set(part["key"])]
    assert len(keys) == len(set(keys))
