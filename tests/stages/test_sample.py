"""Sample: the bands of a metric, and how many are drawn from each."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.stages.sample import Sample
from tests.stages.conftest import call, kept, reasons, rollouts, shuffles, tasks

NOT = "not_sampled"


def test_ten_low_twenty_middle_and_twenty_high_are_drawn() -> None:
    rewards = [0.2] * 30 + [0.6] * 30 + [0.9] * 30
    said = reasons(Sample(), {"reward": rewards})
    left = Counter(reward for reward, why in zip(rewards, said, strict=True) if why is None)
    assert left == {0.2: 10, 0.6: 20, 0.9: 20}
    assert set(said) == {None, NOT}


def test_a_small_band_is_taken_whole() -> None:
    assert reasons(Sample(), {"reward": [0.1, 0.6, 0.6, 0.9]}) == [None] * 4


def test_a_band_with_fewer_rows_than_asked_for_is_told() -> None:
    rewards = [0.1, 0.6, 0.6, 0.9, None]
    _, facts = call(rollouts({"reward": rewards}), Sample(sizes=[1, 3, 2]))
    assert [row["message"] for row in facts["warnings"]] == [
        "reward from 0.5 below 0.8 has 2 of the 3 rows that were asked for."
        " reward from 0.8 has 1 of the 2 rows that were asked for."
    ]
    _, facts = call(rollouts({"reward": rewards}), Sample(sizes=[1, 2, 0]))
    assert facts["warnings"] == []


@pytest.mark.parametrize(
    ("reward", "band"),
    [
        *((-3.0, 0), (0.0, 0), (0.49, 0), (0.5, 1), (0.79, 1), (0.8, 2), (1.0, 2), (7.0, 2)),
        *((0.49999999999999994, 1), (0.7999999999999999, 2)),
    ],
)
def test_an_edge_belongs_to_the_band_above_it(reward: float, band: int) -> None:
    only = [0, 0, 0]
    only[band] = 1
    assert reasons(Sample(sizes=only), {"reward": [reward]}) == [None]
    assert reasons(Sample(sizes=[1 - size for size in only]), {"reward": [reward]}) == [NOT]


def test_a_missing_value_is_in_no_band() -> None:
    said = reasons(Sample(sizes=[1, 1, 1]), {"reward": [None, 0.1, None]})
    assert said == ["missing_reward", None, "missing_reward"]


def test_missing_values_take_no_place_in_the_lowest_band() -> None:
    rows = {"reward": [None] * 10 + [0.1], "draw": [i / 20 for i in range(11)]}
    assert reasons(Sample(sizes=[1, 0, 0]), rows)[-1] is None


def test_another_metric_is_named_in_the_reason() -> None:
    rows: dict[str, Any] = {"accuracy": [None, 0.9]}
    said = reasons(Sample(by="accuracy", edges=[0.5], sizes=[0, 1]), rows)
    assert said == ["missing_accuracy", None]


def test_the_draw_decides_and_not_the_order() -> None:
    rows = {"reward": [0.9] * 3, "draw": [0.9, 0.1, 0.5]}
    assert reasons(Sample(sizes=[0, 0, 1]), rows) == [NOT, None, NOT]


def test_shuffled_rows_give_the_same_sample() -> None:
    rows = rollouts(
        {"reward": [i / 40 for i in range(40)], "draw": [(i * 7 % 40) / 40 for i in range(40)]}
    )
    sample = Sample(sizes=[3, 2, 4])
    assert len(kept(sample, rows)) == 9
    assert all(kept(sample, shuffled) == kept(sample, rows) for shuffled in shuffles(rows))


def test_without_edges_there_is_one_band() -> None:
    rows = {"reward": [0.1, 0.9, None], "draw": [0.5, 0.1, 0.2]}
    assert reasons(Sample(edges=[], sizes=[1]), rows) == [NOT, None, "missing_reward"]


def test_no_rows_give_no_sample() -> None:
    assert reasons(Sample(), {"reward": []}) == []


@pytest.mark.parametrize("sizes", [[], [1, 2], [1, 2, 3, 4]])
def test_there_is_a_size_for_each_band(sizes: list[int]) -> None:
    with pytest.raises(ValidationError, match="one number more than edges"):
        Sample(sizes=sizes)


@pytest.mark.parametrize("edges", [[0.8, 0.5], [0.5, 0.5]])
def test_edges_rise(edges: list[float]) -> None:
    with pytest.raises(ValidationError, match="edges must rise"):
        Sample(edges=edges)


@pytest.mark.parametrize("value", [{"edges": [math.nan, 1.0]}, {"sizes": [1, -1, 1]}])
def test_edges_are_numbers_and_sizes_counts(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(value))):
        Sample.model_validate(value)


def test_tasks_are_sampled_by_how_often_they_were_solved() -> None:
    rows = {"task_key": [1, 1, 2, 2, 3, 3], "reward": [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]}
    params = Sample(by="success_rate", edges=[0.1, 0.9], sizes=[0, 1, 0])
    assert kept(params, tasks(rows)) == [2]
