"""Validate: which checks are made, and when a figure is outside its limits."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from gymrecipe.registry import CHECKS
from gymrecipe.stages.validate import LIMITS, Limits, Validate, result
from tests.stages.conftest import call, pairs, rollouts, tasks

NO_FACTS: dict[str, list[dict[str, Any]]] = {}


def checked(params: Validate, rows: pl.LazyFrame, **facts: Any) -> dict[str, dict[str, Any]]:
    _, made = call(rows, params, {name: [row] for name, row in facts.items()})
    return {row.pop("check"): row for row in made["checks"]}


def failed(params: Validate, rows: pl.LazyFrame, **facts: Any) -> list[str]:
    return [name for name, row in checked(params, rows, **facts).items() if not row["ok"]]


def test_every_row_stays() -> None:
    table, _ = call(rollouts({"reward": [0.0, None]}), Validate(purpose="buffer"), NO_FACTS)
    assert table["reason"].to_list() == [None, None]


def test_nothing_is_checked_unless_asked_for() -> None:
    assert checked(Validate(), rollouts({"reward": [1.0]})) == {}


def test_a_figure_is_logged_with_its_limits() -> None:
    params = Validate(checks={"mean_reward": Limits(min=0.9, max=1.0, level="stop")})
    assert checked(params, rollouts({"reward": [0.5, 0.7]}))["mean_reward"] == {
        "figure": 0.6, "min": 0.9, "max": 1.0, "level": "stop", "ok": False,
    }  # fmt: skip


def test_fewer_than_a_hundred_demonstrations_are_a_red_flag() -> None:
    sft = Validate(purpose="sft")
    assert failed(sft, rollouts({"reward": [1.0] * 99})) == ["rows"]
    assert failed(sft, rollouts({"reward": [1.0] * 100})) == []


def test_one_score_for_all_that_was_read_is_a_red_flag() -> None:
    rows = rollouts({"reward": [1.0] * 100})
    sft = Validate(purpose="sft")
    assert failed(sft, rows, rewards={"n": 200, "distinct": 1}) == ["distinct_rewards"]
    assert failed(sft, rows, rewards={"n": 200, "distinct": 2}) == []


def test_pairs_with_small_gaps_are_a_red_flag() -> None:
    dpo = Validate(purpose="dpo")
    assert failed(dpo, pairs({"gap": [0.19]})) == ["mean_gap"]
    assert failed(dpo, pairs({"gap": [0.2, 0.1 + 0.1]})) == []
    assert failed(dpo, pairs({"gap": [0.05] + [0.9] * 9})) == []
    assert failed(dpo, pairs({"gap": [0.05] + [0.9] * 8})) == ["small_gaps"]


def test_pairs_that_are_too_easy_are_a_red_flag() -> None:
    dpo = Validate(purpose="dpo")
    graded = {"distinct": 3, "least": 0.0, "most": 1.0}
    assert failed(dpo, pairs({"gap": [0.95] * 20}), compared=graded) == ["wide_gaps"]
    assert failed(dpo, pairs({"gap": [0.95] * 19 + [0.5]}), compared=graded) == []


def test_rewards_without_spread_are_a_red_flag() -> None:
    rl = Validate(purpose="buffer")
    flat = ["std_reward", "middle_rewards", "populated_bins"]
    assert failed(rl, rollouts({"reward": [0.5, 0.5, 0.5]})) == flat
    assert failed(rl, rollouts({"reward": [0.0, 1.0]})) == ["extreme_rewards", "populated_bins"]
    assert failed(rl, rollouts({"reward": [0.1, 0.3, 0.5, 0.7, 0.9]})) == []


def test_labels_that_are_out_of_balance_are_a_red_flag() -> None:
    kto = Validate(purpose="kto", checks={"rows": None})
    assert failed(kto, rollouts({"label": [True] * 4 + [False] * 3})) == []
    assert failed(kto, rollouts({"label": [True] * 3 + [False] * 3})) == []
    assert failed(kto, rollouts({"label": [True] * 5 + [False] * 3})) == ["label_ratio"]
    assert failed(kto, rollouts({"label": [True] * 2 + [False] * 3})) == ["label_ratio"]
    assert failed(kto, rollouts({"label": [True] * 3})) == ["labels"]


def test_pairs_whose_chosen_side_is_the_longer_one_are_a_red_flag() -> None:
    model = Validate(purpose="reward_model")
    long = {"gap": [0.5] * 4, "chosen_answer_chars": [9] * 4}
    assert failed(model, pairs(long | {"rejected_answer_chars": [1, 1, 1, 10]})) == [
        "longer_chosen"
    ]
    assert failed(model, pairs(long | {"rejected_answer_chars": [1, 1, 10, 9]})) == []


def test_tasks_that_teach_nothing_are_a_red_flag() -> None:
    rl = Validate(purpose="rl")
    half = [0.0, 1.0] * 4
    assert failed(rl, tasks({"reward": half})) == []
    assert failed(rl, tasks({"reward": half[:6]})) == ["rollouts_per_task"]
    assert failed(rl, tasks({"reward": [0.5] * 8})) == ["mean_success", "flat_tasks"]


def test_a_category_with_more_than_six_tenths_is_a_red_flag() -> None:
    params = Validate(category="category")
    assert failed(params, rollouts({"category": list("aaabb")})) == []
    assert failed(params, rollouts({"category": list("aaab")})) == ["largest_category"]


def test_a_check_of_ones_own_comes_beside_those_of_the_purpose() -> None:
    params = Validate(purpose="buffer", checks={"rows": Limits(min=1)})
    assert list(checked(params, rollouts({"reward": [1.0]}))) == [*LIMITS["buffer"], "rows"]


def test_other_limits_replace_those_of_the_purpose() -> None:
    params = Validate(purpose="sft", checks={"rows": Limits(min=1, level="stop")})
    row = checked(params, rollouts({"reward": [1.0]}))["rows"]
    assert (row["min"], row["level"], row["ok"]) == (1, "stop", True)


def test_null_leaves_a_check_out() -> None:
    params = Validate(purpose="sft", checks={"rows": None}, category="model")
    rows = rollouts({"reward": [1.0]})
    assert list(checked(params, rows)) == ["distinct_rewards", "largest_category"]


def test_a_check_of_another_unit_is_left_out_and_says_so() -> None:
    params = Validate(checks={"mean_gap": Limits(min=0.2), "rows": Limits(min=1)})
    _, facts = call(rollouts({"reward": [1.0]}), params, NO_FACTS)
    assert [row["check"] for row in facts["checks"]] == ["rows"]
    assert [row["message"] for row in facts["warnings"]] == [
        "mean_gap was not checked: it is for pairs, not rollouts."
    ]


def test_nothing_to_judge_is_no_red_flag() -> None:
    assert failed(Validate(purpose="buffer"), rollouts({"reward": []})) == []
    assert failed(Validate(purpose="rl"), tasks({"reward": []})) == []
    assert failed(Validate(purpose="dpo"), pairs({"gap": []})) == []


def test_rollouts_with_a_field_called_gap_are_no_pairs() -> None:
    rows = rollouts({"gap": [0.1], "reward": [0.5]})
    assert list(checked(Validate(checks={"mean_reward": Limits(min=0.9)}), rows)) == ["mean_reward"]


@pytest.mark.parametrize(
    ("figure", "ok"),
    [
        *((None, True), (0.2, True), (0.7 - 0.5, True), (0.2 - 2e-9, False)),
        *((0.4, True), (0.1 + 0.2 + 0.1, True), (0.4 + 2e-9, False)),
    ],
)
def test_limits_hold_within_the_tolerance(figure: float | None, ok: bool) -> None:
    assert result("mean_gap", figure, Limits(min=0.2, max=0.4))["ok"] is ok


@pytest.mark.parametrize("limits", [Limits(min=0), Limits(max=0)])
def test_a_limit_of_zero_is_a_limit(limits: Limits) -> None:
    assert result("rows", 0, limits)["ok"]
    assert not result("rows", -1 if limits.min == 0 else 1, limits)["ok"]


def test_a_warning_is_the_default_level() -> None:
    assert Limits(min=1).level == "warn"


def test_the_red_flags_of_every_purpose_are_checks_that_exist() -> None:
    assert {name for limits in LIMITS.values() for name in limits} <= CHECKS.keys()


def test_an_unknown_check_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match="Did you mean 'mean_gap'"):
        Validate.model_validate({"checks": {"mean_gaps": {"min": 0.2}}})


def test_a_check_without_limits_has_those_of_the_purpose() -> None:
    stopping = {"mean_gap": {"level": "stop"}, "largest_category": {"level": "stop"}}
    given = Validate.model_validate({"purpose": "dpo", "category": "model", "checks": stopping})
    usual = Validate(purpose="dpo", category="model").limits()
    stops = {name: limits.model_copy(update={"level": "stop"}) for name, limits in usual.items()}
    assert given.limits() == usual | {name: stops[name] for name in stopping}
    assert [*given.limits()] == [*usual]


def test_a_limit_limits_something() -> None:
    with pytest.raises(ValidationError, match=r"checks\.rows needs min or max: it has none"):
        Validate.model_validate({"purpose": "dpo", "checks": {"rows": {"level": "stop"}}})
    with pytest.raises(ValidationError, match=r"no figure is at least 0.5 and at most 0.4"):
        Validate.model_validate({"checks": {"mean_gap": {"min": 0.5, "max": 0.4}}})


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"mean_reward", "under_threshold"}))
def test_a_quantile_is_no_value_to_count_by(name: str) -> None:
    checks = {name: {"max": 0, "at": "p50"}}
    with pytest.raises(ValidationError, match=rf"checks\.{name}\.at should be a number, got 'p50'"):
        Validate.model_validate({"checks": checks, "category": "model"})


def test_a_check_by_the_threshold_of_a_filter_takes_its_quantile() -> None:
    checks = {name: {"max": 0, "at": "p50"} for name in ("mean_reward", "under_threshold")}
    assert Validate.model_validate({"checks": checks}).limits()


def test_the_largest_category_needs_a_column() -> None:
    with pytest.raises(ValidationError, match="needs a category"):
        Validate(checks={"largest_category": Limits(max=0.5)})
    assert Validate(checks={"largest_category": None}).limits() == {}


@pytest.mark.parametrize(
    "limits", [{"min": math.nan}, {"max": True}, {"min": "1"}, {"min": 1, "level": "error"}]
)
def test_limits_are_numbers_and_levels_have_names(limits: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"checks\.rows"):
        Validate.model_validate({"checks": {"rows": limits}})


@pytest.mark.parametrize("category", ["category", "chosen_category", "rejected_category"])
def test_the_category_of_a_pair_is_that_of_a_side(category: str) -> None:
    rows = pairs({"chosen_category": ["a", "a", "b"], "rejected_category": ["c", "d", "d"]})
    assert checked(Validate(category=category), rows)["largest_category"]["figure"] == 2 / 3
