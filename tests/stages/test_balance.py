"""Balance: how many stay of each group, which, and that the order of the rows does not matter."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gymrecipe.stages.balance import Balance, quota
from tests.stages.conftest import call, kept, pairs, reasons, rollouts, shuffles, tasks

OVER = "over_quota"


def test_more_than_most_of_a_task_are_over_quota() -> None:
    rows = {"task_key": [7, 7, 8], "draw": [0.9, 0.1, 0.5]}
    assert reasons(Balance(most=1), rows) == [OVER, None, None]


def test_exactly_most_of_a_task_stay() -> None:
    assert reasons(Balance(most=3), {"reward": [0.1, 0.2, 0.3]}) == [None] * 3


def test_a_column_makes_the_groups() -> None:
    rows: dict[str, Any] = {"category": ["math", "code", "math"], "draw": [0.2, 0.3, 0.1]}
    assert reasons(Balance(by="category", most=1), rows) == [OVER, None, None]


def test_rows_without_a_category_are_one_group_called_general() -> None:
    rows: dict[str, Any] = {"category": [None, "general", None, "math"]}
    assert reasons(Balance(by="category", most=2), rows) == [None, None, OVER, None]


def test_a_category_that_is_missing_everywhere_is_one_group() -> None:
    rows: dict[str, Any] = {"category": [None, None, None]}
    assert reasons(Balance(by="category", most=1), rows) == [None, OVER, OVER]


@pytest.mark.parametrize("name", ["__place", "__group", "__rank"])
def test_a_field_of_any_name_makes_groups_and_stays(name: str) -> None:
    rows: dict[str, Any] = {name: ["a", "b", "a"]}
    assert reasons(Balance(by=name, most=1), rows) == [None, None, OVER]
    made, _ = call(rollouts(rows), Balance(by="model", most=3))
    assert made[name].to_list() == ["a", "b", "a"]


def test_a_built_in_text_column_makes_groups() -> None:
    rows: dict[str, Any] = {"model": ["a", "b", "a"]}
    assert reasons(Balance(by="model", most=1), rows) == [None, None, OVER]


@pytest.mark.parametrize(
    "level", [[1.0, 2.0, 1.0, None], [1, 2, 1, None], [True, False, True, None]]
)
def test_numbers_and_booleans_make_groups(level: list[Any]) -> None:
    assert reasons(Balance(by="level", most=1), {"level": level}) == [None, None, OVER, None]


@pytest.mark.parametrize(
    ("level", "share"),
    [([1.0, 2.0, 0.5], {1: 1, 2.0: 1, 0.5: 1}), ([True, False, True], {True: 2, False: 1})],
)
def test_proportions_may_name_numbers_and_booleans(level: list[Any], share: Any) -> None:
    params = Balance.model_validate({"by": "level", "proportions": share})
    assert reasons(params, {"level": level}) == [None, None, None]


def test_rollouts_of_unclear_tasks_are_no_group() -> None:
    rows = {"task_key": [None, None, 1, 1], "draw": [0.1, 0.2, 0.3, 0.4]}
    assert reasons(Balance(most=1), rows) == [None, None, None, OVER]


def test_the_best_by_reward_stay() -> None:
    rows = {"reward": [0.1, 0.9, 0.5]}
    assert reasons(Balance(most=1, prefer="reward"), rows) == [OVER, None, OVER]


def test_a_missing_reward_is_the_last_to_stay() -> None:
    rows = {"reward": [None, -5.0, 0.0]}
    assert reasons(Balance(most=2, prefer="reward"), rows) == [OVER, None, None]


def test_equal_rewards_go_by_draw() -> None:
    rows = {"reward": [1.0, 1.0, 1.0], "draw": [0.5, 0.1, 0.9]}
    assert reasons(Balance(most=1, prefer="reward"), rows) == [OVER, None, OVER]


def test_the_shortest_answers_stay() -> None:
    rows = {"answer_chars": [30, 10, 20]}
    assert reasons(Balance(most=2, prefer="shortest"), rows) == [OVER, None, None]


def test_the_first_to_come_are_not_preferred() -> None:
    rows = {"draw": [0.9, 0.8, 0.2, 0.1]}
    assert reasons(Balance(most=2), rows) == [OVER, OVER, None, None]


def test_the_rows_stay_in_their_order() -> None:
    table, _ = call(rollouts({"draw": [0.9, 0.1, 0.5]}), Balance(most=2, prefer="reward"))
    assert table["row"].to_list() == [0, 1, 2]


def test_no_column_is_left_behind() -> None:
    rows = rollouts({"reward": [1.0]})
    table, _ = call(rows, Balance(most=1))
    assert table.columns == [*rows.collect_schema().names(), "reason"]


def test_no_rows_are_balanced_too() -> None:
    assert reasons(Balance(most=1), {"reward": []}) == []


# --- proportions


def proportions(counts: dict[str, int], shares: dict[str, Any]) -> dict[str, int]:
    categories = [name for name, count in counts.items() for _ in range(count)]
    rows: dict[str, Any] = {"category": categories}
    said = reasons(Balance(by="category", proportions=shares), rows)
    left = Counter(name for name, why in zip(categories, said, strict=True) if why is None)
    assert set(said) <= {None, OVER}
    return dict(left)


def test_the_scarcest_group_sets_the_size() -> None:
    assert proportions({"a": 10, "b": 3}, {"a": 2, "b": 1}) == {"a": 6, "b": 3}


def test_groups_that_are_not_named_are_left_out() -> None:
    assert proportions({"a": 4, "b": 4}, {"a": 1}) == {"a": 4}


def test_thirds_lose_no_row_to_rounding() -> None:
    assert proportions({"a": 3, "b": 9}, {"a": 1 / 3, "b": 2 / 3}) == {"a": 3, "b": 6}
    assert proportions({"a": 10, "b": 5}, {"a": 0.1 + 0.2, "b": 0.3}) == {"a": 5, "b": 5}


def test_a_share_with_any_room_is_no_overflow() -> None:
    assert proportions({"a": 4, "b": 4}, {"a": [1e-20, 1]}) == {"a": 4}
    assert proportions({"a": 4, "b": 2}, {"a": [1e-300, 1e300], "b": 1}) == {"a": 4, "b": 2}


def test_shares_and_percentages_mean_the_same() -> None:
    counts = {"a": 50, "b": 7, "c": 9}
    assert proportions(counts, {"a": 70, "b": 20, "c": 10}) == proportions(
        counts, {"a": 0.7, "b": 0.2, "c": 0.1}
    )


def test_a_group_that_is_not_there_leaves_nothing() -> None:
    assert proportions({"a": 4}, {"a": 1, "b": 1}) == {}


def test_general_can_be_named() -> None:
    rows: dict[str, Any] = {"category": [None, None, "a"]}
    params = Balance(by="category", proportions={"general": 1, "a": 1})
    assert reasons(params, rows) == [None, OVER, None]


@settings(deadline=None)
@given(
    counts=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1),
    shares=st.lists(st.integers(1, 5), min_size=4, max_size=4),
)
def test_the_result_has_the_shares_and_nothing_larger_has(
    counts: dict[str, int], shares: list[int]
) -> None:
    share = dict(zip("abcd", shares, strict=True))
    share = {name: share[name] for name in counts}
    left = proportions(counts, {name: float(part) for name, part in share.items()})
    scarcest = min(counts, key=lambda name: counts[name] / share[name])
    assert left[scarcest] == counts[scarcest]
    for name, part in share.items():
        assert left.get(name, 0) == counts[scarcest] * part // share[scarcest]


def test_a_share_with_room_keeps_as_many_as_it_can() -> None:
    room = {"a": [3.0, 4.0], "b": 3.0}
    assert proportions({"a": 110, "b": 100}, room) == {"a": 110, "b": 100}
    assert proportions({"a": 200, "b": 100}, room) == {"a": 133, "b": 100}
    assert proportions({"a": 50, "b": 100}, room) == {"a": 50, "b": 50}
    assert proportions({"a": 7, "b": 1}, room) == {"a": 1, "b": 1}


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_labels_are_balanced_to_what_kto_asks_for_and_no_further(good: int, bad: int) -> None:
    rows: dict[str, Any] = {"label": [True] * good + [False] * bad}
    params = Balance(by="label", proportions={"desirable": [3.0, 4.0], "undesirable": 3.0})
    said = reasons(params, rows)
    left = Counter(label for label, why in zip(rows["label"], said, strict=True) if why is None)
    # Every way to keep some of each, tried: the largest that is between 1:1 and 4:3.
    allowed = [(g, b) for g in range(good + 1) for b in range(bad + 1) if 3 * b <= 3 * g <= 4 * b]
    assert (left[True], left[False]) == max(allowed, key=sum)


@pytest.mark.parametrize("share", [[1.0], [2.0, 1.0], [0.0, 1.0], [1.0, 2.0, 3.0]])
def test_a_share_with_room_has_a_least_and_a_most(share: list[float]) -> None:
    with pytest.raises(ValidationError):
        Balance.model_validate({"by": "c", "proportions": {"a": share}})


# --- tasks


def test_tasks_are_balanced_by_a_column() -> None:
    rows = {"task_key": [1, 2, 3], "category": ["a", "a", "b"], "draw": [0.5, 0.2, 0.1]}
    assert kept(Balance(by="category", most=1), tasks(rows)) == [1, 2]


# --- pairs


def test_pairs_are_balanced_by_task() -> None:
    rows = pairs({"chosen_task_key": [7, 7, 8], "chosen_draw": [0.2, 0.1, 0.3]})
    assert kept(Balance(most=1), rows) == [1, 2]


def test_pairs_are_balanced_by_the_category_of_the_chosen_side() -> None:
    rows = pairs({"chosen_category": ["a", "a", None], "rejected_category": ["a", "b", "c"]})
    assert kept(Balance(by="category", most=1), rows) == [0, 2]


def test_pairs_prefer_the_widest_gap() -> None:
    assert kept(Balance(most=1, prefer="reward"), pairs({"gap": [0.2, 0.9, 0.5]})) == [1]


def test_pairs_prefer_the_shortest_chosen_answer() -> None:
    rows = pairs({"chosen_answer_chars": [9, 5], "rejected_answer_chars": [1, 99]})
    assert kept(Balance(most=1, prefer="shortest"), rows) == [1]


def test_pairs_of_one_chosen_rollout_do_not_go_by_their_order() -> None:
    rows = pairs(
        {"chosen_row": [0, 0, 0], "chosen_draw": [0.5] * 3, "rejected_draw": [0.7, 0.2, 0.4]}
    )
    for shuffled in shuffles(rows):
        table, _ = call(shuffled, Balance(most=1))
        assert table.filter(table["reason"].is_null())["rejected_row"].to_list() == [4]


def test_rollouts_with_a_field_called_gap_are_no_pairs() -> None:
    rows: dict[str, Any] = {"gap": [0.1, 0.9], "reward": [1.0, 0.0]}
    assert reasons(Balance(most=1, prefer="reward"), rows) == [None, OVER]


# --- laws


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 1, 2, 3]),
            st.sampled_from([None, 0.0, 0.5, 1.0]),
            st.integers(0, 3),
            st.sampled_from([None, "a", "b"]),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 4),
    st.sampled_from(["draw", "reward", "shortest"]),
    st.sampled_from(["task", "category"]),
)
def test_shuffled_rows_leave_the_same_rows(
    rows: list[Any], most: int, prefer: Any, by: str
) -> None:
    task, reward, chars, category = (list(column) for column in zip(*rows, strict=True))
    table = rollouts(
        {"task_key": task, "reward": reward, "answer_chars": chars, "category": category}
    ).cast({"category": str})
    params = Balance(by=by, most=most, prefer=prefer)
    stayed = kept(params, table)
    assert all(kept(params, shuffled) == stayed for shuffled in shuffles(table))
    sizes = Counter(task) if by == "task" else Counter(name or "general" for name in category)
    alone = sizes.pop(None, 0)
    assert len(stayed) == sum(min(size, most) for size in sizes.values()) + alone


# --- what is refused


@pytest.mark.parametrize("values", [{}, {"most": 1, "by": "c", "proportions": {"a": 1.0}}])
def test_either_most_or_proportions_is_needed(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="either most or proportions"):
        Balance.model_validate(values)


def test_tasks_have_no_proportions() -> None:
    with pytest.raises(ValidationError, match="proportions need a column: by"):
        Balance(proportions={"a": 1})


@pytest.mark.parametrize("shares", [{}, {"a": 0}, {"a": -1}, {"a": math.nan}, {"a": True}])
def test_shares_are_positive_numbers(shares: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="proportions"):
        Balance(by="category", proportions=shares)


@pytest.mark.parametrize("most", [0, -1, True, 1.5])
def test_most_is_at_least_one(most: object) -> None:
    with pytest.raises(ValidationError, match="most"):
        Balance.model_validate({"most": most})


def said(categories: list[str | None], most: int) -> list[str]:
    rows = rollouts({"category": categories})
    _, facts = call(rows, Balance(by="category", most=most))
    return [row["message"] for row in facts["warnings"]]


def test_a_limit_on_the_only_group_is_told_where_it_takes_rows() -> None:
    assert said([None, None, None], most=2) == [
        "'general' is the category of every row, so that most=2 is a limit of all rows together."
        " Balance by a column with several values."
    ]
    assert said([None, None], most=2) == said(["a", "a", None], most=1) == []


def test_a_group_that_is_named_and_has_no_row_is_told() -> None:
    rows = rollouts({"reward": [1.0] * 3, "category": ["math", "code", None]})
    params = Balance(by="category", proportions={"math": 1, "cod": 1})
    _, facts = call(rows, params)
    assert facts["warnings"] == [
        {
            "message": "no row is in 'cod', which proportions names, so that nothing is kept; the"
            " groups are code, general, math. Did you mean 'code'?"
        }
    ]
    assert call(rows.clear(), params)[1]["warnings"] == []


def test_what_a_group_may_keep_is_looked_up_and_no_condition_a_group() -> None:
    def size(groups: int) -> int:
        shares: Any = {f"g{n}": [1, 2] for n in range(groups)}
        return len(quota(Balance(by="category", proportions=shares)).meta.serialize())

    assert size(1000) < 20 * size(100)


def test_of_many_groups_without_rows_a_few_are_told() -> None:
    shares: Any = {f"g{n}": 1 for n in range(60)}
    rows: dict[str, Any] = {"category": [f"c{n}" for n in range(70)]}
    made, facts = call(rollouts(rows), Balance(by="category", proportions=shares))
    assert made["reason"].to_list() == [OVER] * 70
    said = [row["message"] for row in facts["warnings"]]
    assert len(said) == 21
    assert "and 50 more." in said[0]
    assert said[-1] == "no row is in 40 more groups that proportions names."
