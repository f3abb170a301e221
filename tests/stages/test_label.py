"""Label: what is desirable, what is not, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gymrecipe.stages.label import Label
from tests.stages.conftest import call, reasons, rollouts


def labels(params: Label, rewards: list[float | None]) -> list[bool | None]:
    table, _ = call(rollouts({"reward": rewards}), params)
    return table["label"].to_list()


def slow(reward: float | None, high: float, low: float) -> tuple[bool | None, str | None]:
    """What becomes of one rollout, in the words of the manual."""
    if reward is None:
        return None, "missing_reward"
    if reward >= high - 1e-9:
        return True, None
    if reward <= low + 1e-9:
        return False, None
    return None, "between"


def test_good_ones_are_desirable_and_bad_ones_are_not() -> None:
    assert labels(Label(), [1.0, 0.0, 0.7, 0.4]) == [True, False, True, False]


def test_what_is_neither_leaves_as_between() -> None:
    assert reasons(Label(), {"reward": [1.0, 0.5, 0.0]}) == [None, "between", None]


def test_what_has_no_value_leaves_as_missing() -> None:
    assert reasons(Label(), {"reward": [None, 0.0]}) == ["missing_reward", None]
    assert reasons(Label(by="accuracy"), {"accuracy": [None, 0.9]}) == ["missing_accuracy", None]


def test_another_metric_decides() -> None:
    rows = rollouts({"reward": [1.0, 0.0], "accuracy": [0.1, 0.9]})
    assert call(rows, Label(by="accuracy"))[0]["label"].to_list() == [False, True]


def test_limits_hold_within_the_tolerance() -> None:
    params = Label(high=0.2, low=0.1)
    assert labels(params, [0.7 - 0.5, 0.2 - 1e-8, 0.4 - 0.3]) == [True, None, False]


def test_one_threshold_makes_two_sides() -> None:
    assert labels(Label(high=0.5, low=0.5), [0.5, 0.49, 0.51]) == [True, False, True]


def test_rewards_outside_zero_and_one_have_labels_too() -> None:
    assert labels(Label(high=10, low=-1), [19.4, -100.0, 0.0]) == [True, False, None]


def test_how_many_have_which_label_is_told() -> None:
    _, facts = call(rollouts({"reward": [1.0, 1.0, 0.0, 0.5, None]}), Label())
    assert facts == {"labels": [{"desirable": 2, "undesirable": 1}]}


def test_limits_that_the_data_puts_in_the_wrong_order_are_told() -> None:
    resolved = Label(high="p10", low=0.9).model_copy(update={"high": 0.2})
    table, facts = call(rollouts({"reward": [0.5]}), resolved)
    assert table["label"].to_list() == [True]
    assert "low (0.9) is above high (0.2)" in facts["warnings"][0]["message"]


def test_expressions_say_what_is_desirable() -> None:
    params = Label(high="judge_ok", low="not judge_ok and turns < 3")
    rows = {"judge_ok": [True, False, False, None], "turns": [9, 2, 3, None], "reward": [None] * 4}
    assert reasons(params, rows) == [None, None, "between", "missing_judge_ok"]
    table, _ = call(rollouts(rows), params)
    assert table["label"].to_list() == [True, False, None, None]


def test_an_expression_and_a_number_are_each_enough() -> None:
    params = Label(high="judge_ok", low=0.4)
    rows = {"judge_ok": [True, None, None, False], "reward": [None, 0.1, None, 0.9]}
    assert reasons(params, rows) == [None, None, "missing_judge_ok", "between"]


def test_an_expression_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot be used here"):
        Label(high="len(x)")


@pytest.mark.parametrize("limits", [{"high": 0.3, "low": 0.4}, {"high": "p30", "low": "p60"}])
def test_labels_that_overlap_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="labels overlap"):
        Label.model_validate(limits)


def test_a_limit_is_a_number_or_a_quantile() -> None:
    assert Label(high="p90", low="p10.5").high == "p90"
    with pytest.raises(ValidationError, match="quantile such as p90"):
        Label(high="90%")


@given(
    st.lists(st.none() | st.floats(-2, 2) | st.sampled_from([0.1 + 0.2, 0.3, 0.7 - 0.4])),
    st.floats(-1, 1),
    st.floats(0, 1),
)
def test_the_slow_way_agrees(rewards: list[Any], low: float, room: float) -> None:
    params = Label(high=low + room, low=low)
    table, facts = call(rollouts({"reward": rewards}), params)
    expected = [slow(reward, low + room, low) for reward in rewards]
    assert list(zip(table["label"], table["reason"], strict=True)) == expected
    assert facts["labels"] == [
        {
            "desirable": sum(label is True for label, _ in expected),
            "undesirable": sum(label is False for label, _ in expected),
        }
    ]
