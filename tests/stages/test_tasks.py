"""Tasks: one row a task, how often it was solved, and which rollouts are of none."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts.columns import MADE, OF_A_ROLLOUT
from gymrecipe.stages.filter import Filter
from gymrecipe.stages.tasks import Tasks
from tests.stages.conftest import SCHEMA, Columns, call, kept, rollouts, shuffles


def made(columns: Columns, **params: Any) -> list[dict[str, Any]]:
    """The tasks, in the order of their keys."""
    table, _ = call(rollouts(columns), Tasks(**params))
    return table.filter(pl.col("reason").is_null()).sort("task_key").to_dicts()


def one(rewards: list[Any], **params: Any) -> dict[str, Any]:
    (task,) = made({"reward": rewards}, **params)
    return task


def left(columns: Columns) -> dict[int, str]:
    """The rollouts that are of no task, and why."""
    table, _ = call(rollouts(columns), Tasks())
    gone = table.filter(pl.col("reason").is_not_null())
    assert gone["rows"].to_list() == [[row] for row in gone["row"]]
    return dict(zip(gone["row"], gone["reason"], strict=True))


def test_a_task_is_one_row_with_all_its_rollouts() -> None:
    first, second = made({"task_key": [7, 8, 7], "draw": [0.3, 0.2, 0.1]})
    assert (first["rollouts"], first["rows"], first["row"]) == (2, [0, 2], 2)
    assert (second["rollouts"], second["rows"], second["row"]) == (1, [1], 1)


def test_the_success_rate_is_over_the_rollouts_with_a_reward() -> None:
    task = one([1.0, 0.0, None, 1.0])
    assert (task["success_rate"], task["rollouts"]) == (2 / 3, 4)


def test_a_success_begins_at_a_reward_within_the_tolerance() -> None:
    assert one([0.9999999999999998, 0.999])["success_rate"] == 0.5
    assert one([0.5, 0.1, -1.0, 0.7 - 0.2], success_at=0.5)["success_rate"] == 0.5


def test_rewards_above_the_success_are_successes() -> None:
    assert one([2.0, 19.4])["success_rate"] == 1.0


def test_the_std_is_that_of_a_sample() -> None:
    assert one([1.0, 0.0])["std_reward"] == pytest.approx(math.sqrt(0.5))
    assert one([0.1] * 10)["std_reward"] == 0.0


def test_one_reward_has_no_std_and_none_no_figures() -> None:
    assert one([0.5])["std_reward"] is None
    task = one([None, None])
    assert [task[name] for name in ("success_rate", "mean_reward", "std_reward")] == [None] * 3
    assert task["rollouts"] == 2


def test_the_mean_is_exact() -> None:
    assert one([1e16, 1.0, 1.0, -1e16])["mean_reward"] == 0.5
    assert one([0.1] * 10)["mean_reward"] == 0.1


def test_rollouts_without_a_task_leave() -> None:
    assert left({"task_key": [None, 1, None]}) == {0: "task_unclear", 2: "task_unclear"}


def test_of_several_prompts_the_most_frequent_is_the_task() -> None:
    rows = {"task_key": [1] * 4, "prompt_key": [5, 6, 6, None]}
    assert left(rows) == {0: "prompts_differ", 3: "prompts_differ"}
    (task,) = made(rows)
    assert (task["prompt_key"], task["rows"]) == (6, [1, 2])


def test_of_prompts_that_are_as_frequent_the_first_by_draw_is_the_task() -> None:
    rows = {"task_key": [1, 1], "prompt_key": [5, 6], "draw": [0.9, 0.1]}
    assert left(rows) == {0: "prompts_differ"}


def test_rollouts_without_a_prompt_can_be_a_task() -> None:
    assert left({"task_key": [1, 1], "prompt_key": [None, None]}) == {}


def test_what_says_how_one_rollout_went_is_not_the_tasks() -> None:
    (task,) = made({"reward": [1.0], "category": ["maths"], "label": [True]})
    assert task["category"] == "maths"
    assert not task.keys() & {*OF_A_ROLLOUT}
    assert task.keys() > {*MADE["tasks"], "rows", "source", "offset", "bytes", "id_hi", "draw"}


def test_every_column_of_a_rollout_is_carried_or_left_behind_on_purpose() -> None:
    (task,) = made({"reward": [1.0]})
    assert SCHEMA.keys() - task.keys() == {*OF_A_ROLLOUT} - {"label"}


@pytest.mark.parametrize("name", ["size", "rewards", "figures", "at"])
def test_a_column_of_ones_own_is_carried(name: str) -> None:
    (task,) = made({"reward": [1.0, 0.0], name: [4.0, 5.0]})
    assert task[name] == 4.0


def test_how_many_tasks_were_solved_how_often_is_told() -> None:
    rows = {
        "task_key": [1, 1, 2, 2, 3, 3, 4, None],
        "reward": [0.0, 0.5, 1.0, 0.0, 1.0, 1.0, None, 1.0],
    }
    _, facts = call(rollouts(rows), Tasks())
    told = {"tasks": 4, "never": 1, "sometimes": 1, "always": 1, "unscored": 1}
    assert facts == {"success": [told]}


def test_no_rollouts_make_no_tasks() -> None:
    assert made({"reward": []}) == []


def test_tasks_that_teach_something_are_kept_by_a_filter() -> None:
    rows = {"task_key": [1, 1, 2, 2, 3, 3, 4], "reward": [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, None]}
    table, _ = call(rollouts(rows), Tasks())
    filtered, _ = call(table.drop("reason").lazy(), Filter(where="0 < success_rate < 1"))
    by_task = dict(filtered.select("task_key", "reason").iter_rows())
    assert by_task == {1: "where", 2: None, 3: "where", 4: "missing_success_rate"}


# --- the oracle


def near(value: float | None) -> Any:
    """It, give or take the last digits."""
    return value if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)


def slow(table: pl.DataFrame) -> tuple[dict[int, Any], dict[int, str]]:
    """Tasks and rejects by plain loops and exact fractions."""
    groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
    gone = {}
    for row in sorted(table.to_dicts(), key=lambda row: row["draw"]):
        if row["task_key"] is None:
            gone[row["row"]] = "task_unclear"
        else:
            groups[row["task_key"]].append(row)
    tasks = {}
    for key, rows in groups.items():
        prompts = Counter(row["prompt_key"] for row in rows)
        most = max(prompts.values())
        prompt = next(row["prompt_key"] for row in rows if prompts[row["prompt_key"]] == most)
        for row in rows:
            if row["prompt_key"] != prompt:
                gone[row["row"]] = "prompts_differ"
        rows = [row for row in rows if row["prompt_key"] == prompt]
        rewards = [row["reward"] for row in rows if row["reward"] is not None]
        n = len(rewards)
        mean = float(sum(map(Fraction, rewards)) / n) if n else None
        rate = Fraction(sum(reward >= 1 - 1e-9 for reward in rewards), n) if n else None
        tasks[key] = {
            "row": rows[0]["row"],
            "rows": sorted(row["row"] for row in rows),
            "rollouts": len(rows),
            "success_rate": rate if rate is None else float(rate),
            "mean_reward": near(mean),
            "std_reward": near(statistics.stdev(rewards) if n > 1 else None),
        }
    return tasks, gone


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2, 3]),
        st.sampled_from([None, 5, 5, 6]),
        st.none() | st.sampled_from([0.0, 1.0, 0.1, 1 / 3, 0.7]) | st.floats(-9, 9),
    ),
    max_size=25,
)


@given(ROWS)
def test_the_slow_way_agrees(rows: list[Any]) -> None:
    names = ("task_key", "prompt_key", "reward")
    columns: Columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    table = rollouts(columns)
    tasks, gone = slow(table.collect())
    assert left(columns) == gone
    for task in made(columns):
        expected = tasks.pop(task["task_key"])
        assert {name: task[name] for name in expected} == expected
    assert tasks == {}


@given(ROWS, st.randoms())
def test_no_order_of_the_rows_changes_a_digit(rows: list[Any], random: Any) -> None:
    chance = [random.random() for _ in rows]
    columns = {
        "task_key": [row[0] for row in rows],
        "prompt_key": [row[1] for row in rows],
        "reward": [row[2] for row in rows],
        "draw": chance,
    }
    table = rollouts(columns)
    expected, facts = call(table, Tasks())
    for shuffled in shuffles(table):
        again, again_facts = call(shuffled, Tasks())
        assert again.sort("row").equals(expected.sort("row"))
        assert again_facts == facts


def test_every_rollout_is_in_a_task_or_has_a_reason() -> None:
    columns = {"task_key": [None, 1, 1, 2, 2, 2], "prompt_key": [1, 1, 1, 1, 2, 2]}
    table, _ = call(rollouts(columns), Tasks())
    assert sorted(table["rows"].explode()) == list(range(6))
    assert kept(Tasks(), rollouts(columns)) == [1, 4]
