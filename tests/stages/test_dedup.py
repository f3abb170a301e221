"""Dedup: what counts as the same, and which one stays."""

from __future__ import annotations

from gymrecipe.stages.dedup import Dedup
from tests.stages.conftest import kept, reasons, rollouts, shuffles, tasks


def test_equal_lines_leave_one() -> None:
    rows = {"id_hi": [1, 1, 1], "id_lo": [5, 5, 6], "draw": [0.9, 0.1, 0.5]}
    assert reasons(Dedup(), rows) == ["duplicate", None, None]


def test_lines_are_the_same_only_if_both_halves_of_the_hash_are() -> None:
    assert reasons(Dedup(), {"id_hi": [1, 2], "id_lo": [5, 5]}) == [None, None]


def test_equal_lines_are_duplicates_also_where_the_task_is_unclear() -> None:
    rows = {"id_lo": [5, 5], "task_key": [None, None]}
    assert reasons(Dedup(), rows) == [None, "duplicate"]


def test_equal_answers_leave_one_a_task() -> None:
    rows = {"answer_key": [9, 9, 9], "task_key": [1, 1, 2], "draw": [0.5, 0.4, 0.3]}
    assert reasons(Dedup(same="answer"), rows) == ["duplicate", None, None]


def test_equal_answers_to_different_prompts_of_a_task_are_no_duplicates() -> None:
    rows = {"answer_key": [9, 9], "prompt_key": [1, 2]}
    assert reasons(Dedup(same="answer"), rows) == [None, None]


def test_equal_answers_without_a_prompt_are_duplicates_within_a_task() -> None:
    rows = {"answer_key": [9, 9], "prompt_key": [None, None]}
    assert reasons(Dedup(same="answer"), rows) == [None, "duplicate"]


def test_equal_answers_of_unclear_tasks_stay() -> None:
    rows = {"answer_key": [9, 9], "task_key": [None, None]}
    assert reasons(Dedup(same="answer"), rows) == [None, None]


def test_equal_values_of_a_column_leave_one_a_task_and_prompt() -> None:
    rows = {
        "boxed": ["4", "4", "4", "5", "4"], "task_key": [1, 1, 2, 1, 1],
        "prompt_key": [1, 1, 1, 1, 2], "draw": [0.5, 0.4, 0.3, 0.2, 0.1],
    }  # fmt: skip
    assert reasons(Dedup(same="boxed"), rows) == ["duplicate", None, None, None, None]


def test_the_first_or_the_last_that_was_read_may_stay() -> None:
    rows = {"extracted": ["4", "4", "4"], "draw": [0.9, 0.1, 0.5]}
    assert reasons(Dedup(same="extracted", keep="last"), rows) == ["duplicate", "duplicate", None]
    assert reasons(Dedup(same="extracted", keep="first"), rows) == [None, "duplicate", "duplicate"]


def test_the_last_stays_in_whatever_order_the_rows_come() -> None:
    rows = rollouts({"id_lo": [5, 5, 6]})
    for shuffled in shuffles(rows):
        assert kept(Dedup(keep="last"), shuffled) == [1, 2]


def test_rows_without_a_value_of_the_column_or_a_task_stay() -> None:
    rows = {"boxed": [None, None, "4", "4"], "task_key": [1, 1, None, None]}
    assert reasons(Dedup(same="boxed"), rows) == [None] * 4


def test_different_answers_stay() -> None:
    assert reasons(Dedup(same="answer"), {"answer_key": [1, 2]}) == [None, None]


def test_no_rows_have_no_duplicates() -> None:
    assert reasons(Dedup(), {"reward": []}) == []


def test_shuffled_rows_leave_the_same() -> None:
    rows = rollouts(
        {"answer_key": [i % 4 for i in range(20)], "task_key": [i % 3 for i in range(20)]}
    )
    stayed = kept(Dedup(same="answer"), rows)
    assert len(stayed) == 12
    assert all(kept(Dedup(same="answer"), shuffled) == stayed for shuffled in shuffles(rows))


def test_tasks_with_the_same_prompt_leave_one() -> None:
    rows = {"task_key": [1, 2, 3], "prompt_key": [7, 7, 8], "draw": [0.9, 0.1, 0.5]}
    assert kept(Dedup(same="prompt"), tasks(rows)) == [1, 2]


def test_of_tasks_with_the_same_prompt_the_last_may_stay() -> None:
    rows = {"task_key": [1, 2, 3], "prompt_key": [7, 7, 8], "draw": [0.1, 0.9, 0.5]}
    assert kept(Dedup(same="prompt", keep="last"), tasks(rows)) == [1, 2]


def test_tasks_whose_prompt_is_not_recorded_stay() -> None:
    rows = {"task_key": [1, 2], "prompt_key": [None, None]}
    assert kept(Dedup(same="prompt"), tasks(rows)) == [0, 1]
