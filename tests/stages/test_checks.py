"""Checks: the figure of each, on rows small enough to count by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from gymrecipe.registry import CHECKS
from gymrecipe.stages.checks import Told
from tests.stages.conftest import pairs, rollouts, tasks


def of(
    name: str, rows: pl.LazyFrame, at: float | None = None, by: str | None = None, **facts: Any
) -> float | None:
    given: Told = {table: [row] for table, row in facts.items()}
    figure: float | None = CHECKS[name].function(rows.collect(), given, at, by)
    return figure


def of_rewards(name: str, *rewards: float | None, at: float | None = None) -> float | None:
    return of(name, rollouts({"reward": list(rewards)}), at)


def of_gaps(name: str, *gaps: float, at: float | None = None, **facts: Any) -> float | None:
    return of(name, pairs({"gap": list(gaps)}), at, **facts)


def test_rows_counts_rollouts_and_pairs() -> None:
    assert of_rewards("rows") == 0
    assert of_rewards("rows", 1.0, None) == 2
    assert of_gaps("rows", 0.1, 0.2, 0.3) == 3


def test_distinct_rewards_are_judged_on_what_was_read() -> None:
    rows = rollouts({"reward": [1.0]})
    assert of("distinct_rewards", rows, rewards={"n": 5, "distinct": 2}) == 2
    assert of("distinct_rewards", rows, rewards={"n": 5, "distinct": 1}) == 1


def test_a_single_reward_is_nothing_to_tell_apart() -> None:
    rows = rollouts({"reward": [1.0]})
    assert of("distinct_rewards", rows, rewards={"n": 1, "distinct": 1}) is None
    assert of("distinct_rewards", rows) is None


def test_mean_reward_is_over_the_rewards_that_are_there() -> None:
    assert of_rewards("mean_reward", 1.0, None, 0.0) == 0.5


def test_under_threshold_counts_with_the_tolerance() -> None:
    assert of_rewards("under_threshold", 0.9, 0.8999999999999999, 0.89, None, at=0.9) == 1
    assert of_rewards("under_threshold", -0.1, 0.0) is None


def test_std_reward_is_the_sample_std() -> None:
    assert of_rewards("std_reward", 0.0, 1.0, None) == pytest.approx(0.5**0.5)
    assert of_rewards("std_reward", 0.5) is None


def test_extreme_rewards_lie_within_a_twentieth_of_an_end() -> None:
    assert of_rewards("extreme_rewards", 0.0, 0.05, 0.95, 1.0) == 1.0
    assert of_rewards("extreme_rewards", 0.051, 0.949, 0.5, 1.0) == 0.25
    assert of_rewards("extreme_rewards", 0.2, 1.2, at=0.2) == 1.0


def test_rewards_outside_the_unit_interval_count_as_not_extreme() -> None:
    assert of_rewards("extreme_rewards", 0.0, -3.0, 7.0, None, 1.0) == 0.5


def test_middle_rewards_lie_from_four_tenths_up_to_six() -> None:
    assert of_rewards("middle_rewards", 0.4, 0.5, 0.599, 0.6) == 0.75
    assert of_rewards("middle_rewards", 0.39999999999999997, 0.39) == 0.5


def test_middle_rewards_count_rewards_outside_the_unit_interval() -> None:
    assert of_rewards("middle_rewards", 0.5, -1.0, 5.0, None, 0.5) == 0.5


def test_one_belongs_to_the_last_bin() -> None:
    assert of_rewards("populated_bins", 1.0) == 1
    assert of_rewards("populated_bins", 1.0, 0.8, 1.0 + 1e-10) == 1
    assert of_rewards("populated_bins", 1.0, 0.79) == 2


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    assert of_rewards("populated_bins", 0.0, 0.2, 0.4, 0.6, 0.8) == 5
    assert of_rewards("populated_bins", 0.6, 0.1 + 0.5, 0.5999999999999999) == 1


def test_rewards_outside_the_unit_interval_populate_no_bin() -> None:
    assert of_rewards("populated_bins", -0.1, 0.1, 1.1) == 1
    assert of_rewards("populated_bins", -0.1, 1.1) == 0


def test_mean_gap() -> None:
    assert of_gaps("mean_gap", 0.25, 0.75) == 0.5


def test_small_gaps_are_below_a_tenth() -> None:
    assert of_gaps("small_gaps", 0.09, 0.1, 0.8 - 0.7, 0.5) == 0.25
    assert of_gaps("small_gaps", 0.2, 0.4, at=0.3) == 0.5


def test_wide_gaps_reach_nineteen_twentieths() -> None:
    graded = {"distinct": 3, "least": 0.0, "most": 1.0}
    gaps = (0.95, 0.9499999999999999, 0.9, 1.0)
    assert of_gaps("wide_gaps", *gaps, compared=graded) == 0.75
    assert of_gaps("wide_gaps", 0.2, 0.4, at=0.3) == 0.5


def test_a_reward_that_a_sum_has_rounded_past_one_is_still_graded() -> None:
    graded = {"distinct": 3, "least": -1e-17, "most": 1.0000000000000002}
    assert of_gaps("wide_gaps", 1.0, 0.5, compared=graded) == 0.5


@pytest.mark.parametrize(
    "compared",
    [
        {"distinct": 2, "least": 0.0, "most": 1.0},
        {"distinct": 11, "least": 0.0, "most": 10.0},
        {"distinct": 9, "least": -1.0, "most": 1.0},
    ],
)
def test_gaps_are_not_wide_where_the_metric_has_no_others(compared: dict[str, float]) -> None:
    assert of_gaps("wide_gaps", 1.0, 1.0, compared=compared) is None


def test_pair_rate_is_what_the_pairing_found() -> None:
    assert of("pair_rate", pairs({"gap": [0.5]}), rates={"pair_rate": 0.7}) == 0.7
    assert of("pair_rate", pairs({"gap": [0.5]})) is None


def test_the_largest_category_is_a_share_of_all_rows() -> None:
    rows = rollouts({"category": ["a", "b", "a", None]})
    assert of("largest_category", rows, by="category") == 0.5


def test_numbers_are_categories() -> None:
    rows = rollouts({"level": [1.0, 2.0, 1.0, None]})
    assert of("largest_category", rows, by="level") == 0.5


def test_rows_without_a_category_are_a_category() -> None:
    rows = rollouts({"category": ["a", None, None, None]})
    assert of("largest_category", rows, by="category") == 0.75


@pytest.mark.parametrize("none", [None, "general"])
def test_where_no_row_has_a_category_there_is_nothing_to_judge(none: str | None) -> None:
    assert of("largest_category", rollouts({"category": [none, none]}), by="category") is None


@pytest.mark.parametrize("name", ["count", "len", "gap", "index"])
def test_the_category_may_have_any_name(name: str) -> None:
    rows = rollouts({name: ["a", "b", "b", "b"]})
    assert of("largest_category", rows, by=name) == 0.75


def test_the_largest_category_of_pairs_is_the_chosen_ones() -> None:
    rows = pairs({"chosen_category": ["a", "a"], "rejected_category": ["a", "b"]})
    assert of("largest_category", rows, by="category") == 1.0


def test_without_a_column_there_is_no_largest_category() -> None:
    assert of_rewards("largest_category", 1.0) is None


def test_longer_chosen_leaves_equal_lengths_out() -> None:
    chars = {"chosen_answer_chars": [9, 9, 9, 1], "rejected_answer_chars": [1, 9, 9, 2]}
    assert of("longer_chosen", pairs(chars)) == 0.5
    assert of("longer_chosen", pairs({"gap": [0.5]})) is None


def test_labels_counts_the_different_ones() -> None:
    assert of("labels", rollouts({"label": [True, True]})) == 1
    assert of("labels", rollouts({"label": [True, False, False]})) == 2


def test_label_ratio_is_desirable_over_undesirable() -> None:
    assert of("label_ratio", rollouts({"label": [True, False, False]})) == 0.5
    assert of("label_ratio", rollouts({"label": [False]})) == 0
    assert of("label_ratio", rollouts({"label": [True]})) is None


@pytest.mark.parametrize("name", ["labels", "label_ratio"])
def test_rollouts_without_labels_have_no_figure_of_them(name: str) -> None:
    assert of_rewards(name, 1.0) is None


ROLLOUTS_OF_THREE = {"task_key": [1, 1, 2, 2, 3], "reward": [1.0, 0.0, 0.5, 0.5, 1.0]}


def test_mean_success_is_over_tasks_and_not_over_rollouts() -> None:
    assert of("mean_success", tasks(ROLLOUTS_OF_THREE)) == 0.5


def test_rollouts_per_task_is_a_mean() -> None:
    assert of("rollouts_per_task", tasks(ROLLOUTS_OF_THREE)) == 5 / 3


def test_flat_tasks_have_one_reward_and_at_least_two_rollouts() -> None:
    assert of("flat_tasks", tasks(ROLLOUTS_OF_THREE)) == 0.5


def test_rows_counts_tasks() -> None:
    assert of("rows", tasks(ROLLOUTS_OF_THREE)) == 3


JUDGES_NOTHING = sorted(CHECKS.keys() - {"rows", "under_threshold"})


@pytest.mark.parametrize("name", JUDGES_NOTHING)
def test_no_rows_have_no_figure(name: str) -> None:
    empty = {
        "rollouts": rollouts({"reward": []}),
        "tasks": tasks({"reward": []}),
        "pairs": pairs({"gap": []}),
    }
    for unit in CHECKS[name].takes:
        assert of(name, empty[unit], by="model") is None


@pytest.mark.parametrize("name", ["mean_reward", "std_reward", "extreme_rewards"])
def test_rows_without_rewards_have_no_figure(name: str) -> None:
    assert of_rewards(name, None, None) is None


def test_rewards_outside_of_the_bins_are_counted() -> None:
    assert of_rewards("outside_rewards", -0.1, 0.0, 1.0 + 1e-10, 1.1) == 0.5
    assert of_rewards("outside_rewards", 0.0, None, 1.0) == 0.0


@pytest.mark.parametrize("name", ["middle_rewards", "populated_bins", "outside_rewards"])
def test_rows_without_rewards_are_in_no_bin(name: str) -> None:
    assert of_rewards(name, None, None) is None


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_check_says_what_it_is_and_what_to_do(name: str) -> None:
    assert (CHECKS[name].function.__doc__ or "").endswith(".")
    assert CHECKS[name].advice.endswith(".")


def test_mean_reward_is_judged_only_where_the_threshold_is_high() -> None:
    assert of_rewards("mean_reward", 0.5, 0.7, at=0.89) is None
    assert of_rewards("mean_reward", 0.5, 0.7, at=0.9) == 0.6


def test_at_longest_is_the_share_of_rollouts_that_end_at_the_same_longest_length() -> None:
    tokens = pl.DataFrame({"output_tokens": [512, 512, 40, None, 30]})
    assert CHECKS["at_longest"].function(tokens, {}, None, None) == 0.5


def test_at_longest_has_nothing_to_judge_where_one_rollout_is_the_longest() -> None:
    tokens = pl.DataFrame({"output_tokens": [512, 511]})
    assert CHECKS["at_longest"].function(tokens, {}, None, None) is None
