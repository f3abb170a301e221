"""Load: draws, equal lines, the first tasks, and which parameters it takes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.rollouts.columns import TASK_FIELD
from gymrecipe.stages.load import Load, load
from tests.rollouts.conftest import keyed, read, rollout


def write(path: Path, lines: list[Any]) -> Path:
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return path


def identities(path: Path, **params: Any) -> list[tuple[int, int, float]]:
    return sorted(keyed(path, **params).select("id_hi", "id_lo", "draw").rows())


LINES = [rollout(str(i % 7), str(i % 11), i / 100) for i in range(100)] * 2


def test_a_draw_is_in_the_half_open_unit_interval_and_all_differ(tmp_path: Path) -> None:
    draws = keyed(write(tmp_path / "a", LINES))["draw"]
    assert draws.is_between(0, 1, closed="left").all()
    assert draws.n_unique() == len(LINES)


def test_a_draw_depends_on_the_line_alone_not_on_order_path_or_number(tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(LINES, len(LINES))
    one = identities(write(tmp_path / "a.jsonl", LINES))
    assert identities(write(tmp_path / "other.jsonl", shuffled)) == one


def test_a_draw_does_not_depend_on_how_the_files_are_cut(tmp_path: Path) -> None:
    one = identities(write(tmp_path / "a", LINES))
    halves = [write(tmp_path / "b", LINES[:33]), write(tmp_path / "c", LINES[33:])]
    assert sorted(keyed(*halves).select("id_hi", "id_lo", "draw").rows()) == one


def test_another_seed_is_another_draw(tmp_path: Path) -> None:
    path = write(tmp_path / "a", LINES)
    draws = [set(keyed(path, seed=seed)["draw"]) for seed in (0, 1)]
    assert not draws[0] & draws[1]
    assert draws[0] == set(keyed(path, seed=0)["draw"])


def test_equal_lines_are_told_apart_and_their_draws_too(tmp_path: Path) -> None:
    rows = keyed(write(tmp_path / "a", [rollout()] * 5))
    assert rows.select("id_hi", "id_lo").n_unique() == 1
    assert rows["draw"].n_unique() == 5
    assert rows["task_key"].n_unique() == 1


def test_equal_lines_without_a_task_are_tasks_of_their_own(tmp_path: Path) -> None:
    assert keyed(write(tmp_path / "a", [rollout([])] * 3))["task_key"].n_unique() == 3


def test_tasks_beyond_the_limit_leave_whole(tmp_path: Path) -> None:
    prompts = ["a", "b", "a", "c", "b", "a"]
    path = write(tmp_path / "a", [rollout(prompt) for prompt in prompts])
    over = keyed(path, limit_tasks=2)["reason"].to_list()
    assert over == [None, None, None, "over_limit_tasks", None, None]
    assert keyed(path, limit_tasks=9)["reason"].null_count() == 6


def test_a_rollout_whose_task_is_unclear_counts_as_a_task(tmp_path: Path) -> None:
    lines = [rollout("a", task_id=1), rollout("a", "x"), rollout("a", task_id=2)]
    over = keyed(write(tmp_path / "a", lines), limit_tasks=2)["reason"].to_list()
    assert over == [None, None, "over_limit_tasks"]


def test_nothing_that_only_grouping_needs_is_left(tmp_path: Path) -> None:
    names = keyed(write(tmp_path / "a", LINES)).columns
    hidden = {"index_key", "repeat_key", "group_value", "place", "occurrence", "run"}
    assert not [name for name in names if name in hidden or name.startswith(TASK_FIELD)]


def test_an_empty_table_can_be_loaded(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a", [])).rows.lazy()
    frame, facts = load(rows, Load())
    assert frame.collect().height == 0
    assert facts["grouping"].collect()["tasks"].to_list() == [0]


def test_the_facts_describe_the_rewards(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a", [rollout(reward=r) for r in (0.0, 1.0, None)])).rows
    (found,) = load(rows.lazy(), Load())[1]["rewards"].collect().to_dicts()
    assert (found["n"], found["missing"], found["mean"]) == (2, 1, 0.5)


def test_consecutive_groups_report_mixed_prompts_and_an_incomplete_end(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a", [rollout(p) for p in "aaabbac"])).rows
    params = Load(group_by="consecutive", num_repeats=3)
    (found,) = load(rows.lazy(), params)[1]["grouping"].collect().to_dicts()
    assert found["groups_with_several_prompts"] == 1
    assert found["incomplete_groups"] == 1


def test_rollouts_whose_task_is_unclear_are_no_group_with_several_prompts(tmp_path: Path) -> None:
    lines = [rollout(prompt, id=id) for prompt in "ab" for id in (1, 2, None)]
    rows = read(write(tmp_path / "a", lines), group_by="g").rows
    (found,) = load(rows.lazy(), Load(group_by="g"))[1]["grouping"].collect().to_dicts()
    assert (found["unclear"], found["groups_with_several_prompts"]) == (2, 0)


def test_lines_that_are_there_again_are_counted(tmp_path: Path) -> None:
    lines = [rollout("a", answer) for answer in ("x", "y", "x", "z", "x")]
    for count, copies in ((5, 2), (2, None)):
        rows = read(write(tmp_path / str(count), lines[:count])).rows
        (found,) = load(rows.lazy(), Load())[1]["grouping"].collect().to_dicts()
        assert found.get("copies") == copies


def test_lines_with_the_indices_of_an_earlier_one_are_counted(tmp_path: Path) -> None:
    def indexed(prompt: str, answer: str, task: int | None, repeat: int | None) -> dict[str, Any]:
        return rollout(prompt, answer, _ng_task_index=task, _ng_rollout_index=repeat)

    again = [indexed("a", answer, 0, 0) for answer in "wxxyx"]
    others = [
        indexed("b", "x", 0, 0),  # another prompt: an index that begins anew
        indexed("a", "x", 1, 0),
        indexed("a", "x", 0, 1),
        indexed("a", "x", 0, None),
        indexed("a", "y", 0, None),
        indexed("a", "x", None, 0),
        indexed("a", "y", None, 0),
        indexed("a", "y", 0, 0) | {"agent_ref": {"name": "another"}},
    ]
    for lines, count in (([*again, *others], 2), ([again[0], *others], None)):
        rows = read(write(tmp_path / str(count), lines)).rows
        (found,) = load(rows.lazy(), Load())[1]["grouping"].collect().to_dicts()
        assert found.get("repeated_indices") == count


def test_the_indices_of_another_run_are_no_repeats(tmp_path: Path) -> None:
    line = {"_ng_task_index": 0, "_ng_rollout_index": 0}
    paths = [write(tmp_path / answer, [rollout("a", answer, **line)]) for answer in "xy"]
    for entries, count in ((paths, None), ([tmp_path / "[xy]"], 1)):
        rows = read(*entries).rows
        (found,) = load(rows.lazy(), Load())[1]["grouping"].collect().to_dicts()
        assert found.get("repeated_indices") == count


@pytest.mark.parametrize("repeats", [2**32, 2**63 - 1])
def test_any_number_of_repeats_is_one_incomplete_group(repeats: int, tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a", [rollout(p) for p in "aab"])).rows
    params = Load(group_by="consecutive", num_repeats=repeats)
    (found,) = load(rows.lazy(), params)[1]["grouping"].collect().to_dicts()
    assert (found["tasks"], found["incomplete_groups"]) == (1, 1)


@pytest.mark.parametrize("value", [0, 10, "0%", "1%", "0.5%", "100%", None])
def test_bad_rows_are_allowed_as_a_count_or_a_share(value: Any) -> None:
    assert Load(max_bad_rows=value).max_bad_rows == value


@pytest.mark.parametrize("value", [-1, "10", "x%", "%", "nan%", "-1%", "101%", 0.1, True])
def test_any_other_allowance_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="a count such as 10, or a percentage such as 1%"):
        Load(max_bad_rows=value)


@pytest.mark.parametrize("params", [{"group_by": "consecutive"}, {"num_repeats": 3}])
def test_consecutive_and_its_number_need_each_other(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="need each other"):
        Load(**params)


@pytest.mark.parametrize("name", ["reward", "group_by"])
def test_a_path_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a path"):
        Load(**{name: "a..b"})
    with pytest.raises(ValidationError, match="is not a path"):
        Load(task_fields=["a", "b c"])
