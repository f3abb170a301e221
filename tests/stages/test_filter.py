"""Filter: each criterion at its boundary, and which reason a row gets."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.stages.filter import Filter
from tests.stages.conftest import call, kept, pairs, reasons, rollouts, tasks

ALMOST_ONE = 0.9999999999999998


def test_without_criteria_everything_stays() -> None:
    assert reasons(Filter(), {"reward": [None, 0.0, 1.0]}) == [None, None, None]


@pytest.mark.parametrize("flag", ["truncated", "failed", "masked", "empty"])
def test_completed_rejects_what_did_not_finish(flag: str) -> None:
    assert reasons(Filter(completed=True), {flag: [True, False]}) == [flag, None]


def test_completed_is_off_unless_asked_for() -> None:
    assert reasons(Filter(), {"truncated": [True]}) == [None]


def test_of_several_flags_the_first_in_the_models_order_counts() -> None:
    rows = {"masked": [True, True], "empty": [True, True], "truncated": [False, True]}
    assert reasons(Filter(completed=True), rows) == ["masked", "truncated"]


def test_where_rejects_what_does_not_hold() -> None:
    rows: dict[str, Any] = {"accuracy": [0.9, 0.3]}
    assert reasons(Filter(where="accuracy >= 0.8"), rows) == [None, "where"]


def test_where_names_the_value_that_is_missing() -> None:
    rows: dict[str, Any] = {"accuracy": [None, 0.9], "reward": [1.0, None]}
    said = reasons(Filter(where="accuracy >= 0.8 and reward > 0"), rows)
    assert said == ["missing_accuracy", "missing_reward"]


def test_where_on_pairs_reads_the_gap_and_both_sides() -> None:
    rows = pairs({"gap": [0.2, 0.9, 0.9], "rejected_turns": [1, 1, 5]})
    table, _ = call(rows, Filter(where="gap >= 0.5 and rejected_turns < 3"))
    assert table["reason"].to_list() == ["where", None, "where"]


def test_min_reward_holds_within_the_tolerance() -> None:
    rows = {"reward": [1.0, ALMOST_ONE, 1 - 0.9e-9, 1 - 2e-9]}
    assert reasons(Filter(min_reward=1.0), rows) == [None, None, None, "below_min_reward"]


def test_max_reward_holds_within_the_tolerance() -> None:
    rows = {"reward": [0.3, 0.1 + 0.2, 0.3 + 2e-9]}
    assert reasons(Filter(max_reward=0.3), rows) == [None, None, "above_max_reward"]


def test_a_difference_that_floats_miss_meets_the_threshold() -> None:
    assert reasons(Filter(min_reward=0.2), {"reward": [0.7 - 0.5]}) == [None]


def test_a_zero_reward_is_a_reward() -> None:
    assert reasons(Filter(min_reward=0.0), {"reward": [0.0, None]}) == [None, "missing_reward"]


def test_a_missing_reward_meets_no_upper_threshold() -> None:
    assert reasons(Filter(max_reward=0.5), {"reward": [None]}) == ["missing_reward"]


@pytest.mark.parametrize(
    ("name", "column"),
    [("turns", "turns"), ("output_items", "output_items"), ("chars", "answer_chars")],
)
def test_counts_are_kept_at_both_ends(name: str, column: str) -> None:
    params = Filter.model_validate({f"min_{name}": 2, f"max_{name}": 4})
    said = reasons(params, {column: [1, 2, 4, 5]})
    assert said == [f"below_min_{name}", None, None, f"above_max_{name}"]


@pytest.mark.parametrize(
    ("name", "column"),
    [("turns", "turns"), ("output_items", "output_items"), ("chars", "answer_chars")],
)
def test_a_missing_count_is_named_after_its_parameter(name: str, column: str) -> None:
    params = Filter.model_validate({f"min_{name}": 0})
    assert reasons(params, {column: [None]}) == [f"missing_{name}"]


def test_require_success_rejects_false() -> None:
    rows: dict[str, Any] = {"success": [True, False]}
    assert reasons(Filter(require_success=True), rows) == [None, "no_success"]


def test_require_success_tells_missing_from_false() -> None:
    rows: dict[str, Any] = {"success": [True, None]}
    assert reasons(Filter(require_success=True), rows) == [None, "missing_success"]


def test_require_success_without_any_success_field_is_skipped_with_a_warning() -> None:
    rows = rollouts({"reward": [1.0, 0.0]}).with_columns(success=None).cast({"success": bool})
    table, facts = call(rows, Filter(require_success=True))
    assert table["reason"].to_list() == [None, None]
    assert [row["message"] for row in facts["warnings"]] == [
        "require_success was skipped: no row has a `success` that is true or false."
    ]


def test_require_success_does_not_warn_where_a_line_has_the_field() -> None:
    rows = rollouts({"success": [None, True]})
    assert call(rows, Filter(require_success=True))[1]["warnings"] == []


def test_require_success_does_not_warn_of_no_rows() -> None:
    rows = rollouts({"reward": []}).with_columns(success=None).cast({"success": bool})
    assert call(rows, Filter(require_success=True))[1]["warnings"] == []


def test_require_tool_usage_rejects_rollouts_without_a_call() -> None:
    rows = {"tool_calls": [0, 1]}
    assert reasons(Filter(require_tool_usage=True), rows) == ["no_tool_usage", None]


def test_tasks_that_fail_too_often_leave_whole() -> None:
    rows = {"task_key": [7, 7, 8, 8], "reward": [1.0, 0.0, 1.0, 1.0]}
    low = "below_min_success_rate"
    assert reasons(Filter(min_success_rate=0.9), rows) == [low, low, None, None]


def test_tasks_that_succeed_too_often_leave_whole() -> None:
    rows = {"task_key": [7, 7, 8, 8], "reward": [1.0, 0.0, 1.0, 1.0]}
    high = "above_max_success_rate"
    assert reasons(Filter(max_success_rate=0.5), rows) == [None, None, high, high]


def test_a_success_rate_at_its_limit_is_kept() -> None:
    rows = {"reward": [1.0] * 9 + [0.0]}
    assert reasons(Filter(min_success_rate=0.9, max_success_rate=0.9), rows) == [None] * 10


def test_a_reward_just_below_success_at_is_a_success() -> None:
    assert reasons(Filter(min_success_rate=1.0), {"reward": [ALMOST_ONE]}) == [None]


def test_success_at_says_from_where_a_rollout_succeeds() -> None:
    rows = {"reward": [0.8, 0.7]}
    assert reasons(Filter(min_success_rate=1.0, success_at=0.7), rows) == [None, None]


def test_the_success_rate_is_over_the_rollouts_that_have_a_reward() -> None:
    rows = {"reward": [1.0, 0.0, None, None]}
    assert reasons(Filter(min_success_rate=0.5), rows) == [None] * 4


def test_a_task_without_rewards_has_no_success_rate() -> None:
    rows = {"task_key": [7, 7, 8], "reward": [None, None, 1.0]}
    said = reasons(Filter(min_success_rate=0.0), rows)
    assert said == ["missing_success_rate", "missing_success_rate", None]


def test_rollouts_of_unclear_tasks_do_not_share_a_success_rate() -> None:
    rows = {"task_key": [None, None], "reward": [1.0, 0.0]}
    assert reasons(Filter(min_success_rate=0.5), rows) == ["missing_success_rate"] * 2


def test_success_rates_see_rows_that_another_criterion_rejects() -> None:
    rows = {"reward": [1.0, 0.0], "truncated": [False, True]}
    said = reasons(Filter(completed=True, min_success_rate=0.9), rows)
    assert said == ["below_min_success_rate", "truncated"]


def test_a_row_that_fails_everything_gets_the_reasons_in_the_models_order() -> None:
    steps: list[tuple[str, Any, str]] = [
        ("completed", True, "truncated"),
        ("where", "bytes < 0", "where"),
        ("min_reward", 0.9, "below_min_reward"),
        ("max_turns", 0, "above_max_turns"),
        ("min_output_items", 9, "below_min_output_items"),
        ("max_chars", 1, "above_max_chars"),
        ("require_success", True, "no_success"),
        ("require_tool_usage", True, "no_tool_usage"),
        ("min_success_rate", 0.5, "below_min_success_rate"),
    ]
    rows: dict[str, Any] = {"truncated": [True], "reward": [0.1], "success": [False]}
    for first in range(len(steps)):
        params = Filter.model_validate({name: value for name, value, _ in steps[first:]})
        assert reasons(params, rows) == [steps[first][2]]


def test_all_failing_rows_are_told_apart_from_passing_ones_in_their_own_order() -> None:
    rows = {"reward": [0.1, None, 0.95, 0.5]}
    said = reasons(Filter(min_reward=0.9), rows)
    assert said == ["below_min_reward", "missing_reward", None, "below_min_reward"]


def test_no_rows_pass_through_every_criterion() -> None:
    params = Filter(
        completed=True, where="turns > 1", min_reward=0.5, min_success_rate=0.1, max_turns=3
    )
    assert reasons(params, {"reward": []}) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.9", [0.9]])
@pytest.mark.parametrize("name", ["min_reward", "max_reward", "success_at", "min_success_rate"])
def test_a_threshold_is_a_finite_number(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Filter.model_validate({name: value})


@pytest.mark.parametrize("value", [True, -1, 2.5, math.nan, "3"])
@pytest.mark.parametrize("name", ["min_turns", "max_output_items", "max_chars"])
def test_a_count_is_a_whole_number(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Filter.model_validate({name: value})


@pytest.mark.parametrize("value", [1, "true", None])
def test_a_switch_is_true_or_false(value: object) -> None:
    with pytest.raises(ValidationError, match="completed"):
        Filter.model_validate({"completed": value})


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_rate_lies_between_zero_and_one(value: float) -> None:
    with pytest.raises(ValidationError, match="min_success_rate"):
        Filter(min_success_rate=value)


@pytest.mark.parametrize("value", ["p101", "p", "90", "P90", "p90 "])
def test_what_is_no_quantile_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="a quantile such as p90"):
        Filter(min_reward=value)


@pytest.mark.parametrize("value", ["p0", "p90", "p99.9", "p100"])
def test_a_quantile_is_left_to_the_executor(value: str) -> None:
    assert Filter(min_reward=value, max_turns=value).min_reward == value


def test_a_where_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="cannot be read"):
        Filter(where="reward >>")


def test_an_unknown_criterion_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_rewards"):
        Filter.model_validate({"min_rewards": 0.5})


def test_scored_rejects_what_has_no_reward() -> None:
    assert reasons(Filter(scored=True), {"reward": [None, 0.0]}) == ["missing_reward", None]


# --- tasks

THREE = {"task_key": [1, 1, 2, 2, 3, 3], "reward": [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]}


def test_tasks_are_filtered_by_how_often_they_were_solved() -> None:
    assert kept(Filter(where="0 < success_rate < 1"), tasks(THREE)) == [2]
    assert kept(Filter(where="rollouts >= 3"), tasks(THREE)) == []
    assert kept(Filter(where="std_reward > 0"), tasks(THREE)) == [2]


def test_the_two_rates_of_tasks_are_what_their_stage_made() -> None:
    assert kept(Filter(min_success_rate=0.5), tasks(THREE)) == [2, 4]
    assert kept(Filter(max_success_rate=0.5), tasks(THREE)) == [0, 2]
    unscored = tasks({"reward": [None]})
    table, _ = call(unscored, Filter(min_success_rate=0.5))
    assert table["reason"].to_list() == ["missing_success_rate"]
