"""Write: which rows are held out, and in what order they stand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

import gymrecipe.formats
from gymrecipe.rollouts.columns import SPLIT
from gymrecipe.stages.write import Write
from tests.stages.conftest import Columns, call, pairs, rollouts, shuffles

assert gymrecipe.formats

MANY: Columns = {"prompt_key": [2**40 + i // 4 for i in range(4000)]}


def held_out(rows: pl.LazyFrame, **params: Any) -> set[int]:
    table, _ = call(rows, Write(**params))
    assert set(table[SPLIT]) <= {"train", "validation"}
    assert table["reason"].null_count() == table.height
    return set(table.filter(pl.col(SPLIT) == "validation")["prompt_key"])


def test_nothing_is_held_out_unless_asked_for() -> None:
    assert held_out(rollouts(MANY)) == set()


def test_about_the_asked_share_of_prompts_is_held_out() -> None:
    assert 70 <= len(held_out(rollouts(MANY), validation_fraction=0.1)) <= 130


def test_a_prompt_is_held_out_whole() -> None:
    table, _ = call(rollouts(MANY), Write(validation_fraction=0.5))
    splits = table.group_by("prompt_key").agg(pl.col(SPLIT).n_unique())
    assert set(splits[SPLIT]) == {1}


def test_a_larger_share_holds_out_more_prompts_and_never_others() -> None:
    shares = [0.0, 0.01, 0.1, 0.2, 0.5, 0.99]
    sets = [held_out(rollouts(MANY), validation_fraction=share) for share in shares]
    assert all(less < more for less, more in pairwise(sets))


def test_a_prompt_is_in_the_same_split_as_rollouts_and_as_pairs() -> None:
    keys = [2**40 + i for i in range(500)]
    alone = held_out(rollouts({"prompt_key": keys}), validation_fraction=0.3)
    paired = held_out(pairs({"chosen_prompt_key": keys}), validation_fraction=0.3)
    assert alone == paired != set()


def test_the_split_does_not_depend_on_draw_task_or_order() -> None:
    keys = [2**40 + i for i in range(500)]
    first = rollouts({"prompt_key": keys, "task_key": [7] * 500})
    other = rollouts({"prompt_key": keys[::-1], "draw": [0.5] * 500})
    assert held_out(first, validation_fraction=0.3) == held_out(other, validation_fraction=0.3)


def test_another_seed_holds_out_others() -> None:
    one = held_out(rollouts(MANY), validation_fraction=0.3, seed=1)
    assert one != held_out(rollouts(MANY), validation_fraction=0.3, seed=2)


def test_rollouts_without_a_prompt_go_by_their_task() -> None:
    rows = rollouts({"prompt_key": [None] * 400, "task_key": [2**40 + i // 4 for i in range(400)]})
    table, _ = call(rows, Write(validation_fraction=0.5))
    splits = table.group_by("task_key").agg(pl.col(SPLIT).n_unique())
    assert set(splits[SPLIT]) == {1}
    assert table[SPLIT].n_unique() == 2


def test_rollouts_without_a_prompt_and_a_task_go_by_themselves() -> None:
    rows = rollouts({"prompt_key": [None] * 400, "task_key": [None] * 400})
    table, _ = call(rows, Write(validation_fraction=0.5))
    assert 130 < table[SPLIT].to_list().count("validation") < 270


def test_rollouts_stand_as_their_lines_stand() -> None:
    for shuffled in shuffles(rollouts({"draw": [0.9, 0.1, 0.5]})):
        assert call(shuffled, Write())[0]["row"].to_list() == [0, 1, 2]


def test_a_pair_stands_where_its_chosen_line_stands() -> None:
    rows = pairs({"chosen_row": [5, 1, 5], "rejected_row": [9, 8, 0]})
    for shuffled in shuffles(rows):
        table, _ = call(shuffled, Write())
        assert table.select("chosen_row", "rejected_row").rows() == [(1, 8), (5, 0), (5, 9)]


def test_shuffled_rollouts_stand_by_draw() -> None:
    for shuffled in shuffles(rollouts({"draw": [0.9, 0.1, 0.5]})):
        assert call(shuffled, Write(order="shuffled"))[0]["row"].to_list() == [1, 2, 0]


def test_shuffled_rollouts_with_equal_draws_stand_as_their_lines_stand() -> None:
    rows = rollouts({"draw": [0.5] * 100})
    for shuffled in shuffles(rows):
        assert call(shuffled, Write(order="shuffled"))[0]["row"].to_list() == list(range(100))


def test_shuffled_pairs_of_one_chosen_rollout_stand_by_the_draw_of_the_other() -> None:
    rows = pairs({"chosen_row": [0, 0], "chosen_draw": [0.5, 0.5], "rejected_draw": [0.9, 0.2]})
    for shuffled in shuffles(rows):
        assert call(shuffled, Write(order="shuffled"))[0]["rejected_row"].to_list() == [3, 2]


def test_metrics_are_one_table_in_their_order() -> None:
    rows = pl.LazyFrame({"metric": ["b", "a"], "count": [1, 1], "mean": [0.5, 0.5]})
    table, _ = call(rows, Write(validation_fraction=0.5))
    assert table.select("metric", SPLIT).rows() == [("b", "metrics"), ("a", "metrics")]


@pytest.mark.parametrize("name", ["gap", "metric", "split"])
def test_rollouts_may_have_a_field_of_any_name(name: str) -> None:
    assert held_out(rollouts({name: [1.0, 2.0]})) == set()


def test_no_rows_have_splits_too() -> None:
    assert held_out(rollouts({"reward": []}), validation_fraction=0.5) == set()
    assert held_out(pairs({"gap": []}), validation_fraction=0.5) == set()


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"should be one of .*messages"):
        Write(format="mesages")


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan, True, "0.1"])
def test_the_held_out_share_is_a_number_below_one(value: object) -> None:
    with pytest.raises(ValidationError, match="validation_fraction"):
        Write.model_validate({"validation_fraction": value})


@pytest.mark.parametrize("value", [0, -1, True])
def test_a_shard_has_a_row(value: object) -> None:
    with pytest.raises(ValidationError, match="shard_rows"):
        Write.model_validate({"shard_rows": value})


def test_fields_for_the_verifier_that_end_alike_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"'a\.id' and 'b\.id' end alike"):
        Write(verifier_fields=["a.id", "uuid", "b.id"])
    with pytest.raises(ValidationError, match="'a b' is not a path"):
        Write(verifier_fields=["a b"])
