"""Which rollouts answer the same task: the rules, a slow oracle, and the traps in real files."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymrecipe.rollouts import files, table
from gymrecipe.rollouts.scanned import task_field
from gymrecipe.rollouts.tasks import with_task_key
from tests.full import often
from tests.rollouts.conftest import Write, keyed, rollout


def groups(rows: pl.DataFrame) -> list[int | None]:
    """The task of each row as a small number in order of appearance; None where it is unclear."""
    numbers: dict[int, int] = {}
    return [
        None if key is None else numbers.setdefault(key, len(numbers)) for key in rows["task_key"]
    ]


def indexed(prompt: str, index: Any, **more: Any) -> dict[str, Any]:
    return rollout(prompt, _ng_task_index=index, **more)


# By index


def test_an_index_and_the_same_prompt_are_one_task_wherever_they_stand(jsonl: Write) -> None:
    lines = [indexed("a", 0), indexed("b", 1), indexed("a", 0), indexed("c", 2), indexed("b", 1)]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 0, 2, 1]


def test_one_index_with_different_prompts_is_several_tasks(jsonl: Write) -> None:
    assert groups(keyed(jsonl(indexed("a", 0), indexed("b", 0), indexed("a", 0)))) == [0, 1, 0]


def test_one_prompt_with_different_indices_is_several_tasks(jsonl: Write) -> None:
    assert groups(keyed(jsonl(indexed("a", 0), indexed("a", 1)))) == [0, 1]


def test_the_index_of_another_agent_is_another_task(jsonl: Write) -> None:
    agents = [{"name": "x"}, {"name": "y"}, {"name": "x", "type": "t"}, None]
    lines = [indexed("a", 0, agent_ref=agent) for agent in agents]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 0, 2]


def test_indices_of_different_runs_do_not_meet(jsonl: Write, tmp_path: Path) -> None:
    one, other = (jsonl(indexed("a", 0), name=name) for name in ("r1.jsonl", "r2.jsonl"))
    assert groups(keyed(one, other)) == [0, 1]
    assert groups(keyed(tmp_path / "r*.jsonl")) == [0, 0]


def test_an_index_of_zero_is_an_index_and_a_null_one_is_none(jsonl: Write) -> None:
    lines = [indexed("a", 0), indexed("a", None), rollout("a")]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 1]


# By prompt and fields


def test_without_an_index_the_prompt_is_the_task_also_across_runs(jsonl: Write) -> None:
    paths = [jsonl(rollout("a"), rollout("b"), name=f"{i}.jsonl") for i in range(2)]
    assert groups(keyed(*paths)) == [0, 1, 0, 1]


def test_seeds_and_temperatures_do_not_split_a_task(jsonl: Write) -> None:
    lines = []
    for seed in range(3):
        line = rollout("a")
        line["responses_create_params"] |= {
            "seed": seed, "temperature": seed, "metadata": {"extra_body": f'{{"seed": {seed}}}'},
        }  # fmt: skip
        lines.append(line)
    assert groups(keyed(jsonl(*lines))) == [0, 0, 0]


@pytest.mark.parametrize("field", ["task_id", "uuid", "difficulty", "expected_answer"])
def test_a_field_that_names_the_task_splits_a_prompt(jsonl: Write, field: str) -> None:
    lines = [rollout("a", **{field: value}) for value in ("x", "y", "x")]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 0]


def test_any_other_field_does_not(jsonl: Write) -> None:
    assert groups(keyed(jsonl(rollout("a", other=1), rollout("a", other=2)))) == [0, 0]
    own = keyed(jsonl(rollout("a", other=1), rollout("a", other=2)), task_fields=["other"])
    assert groups(own) == [0, 1]


def test_a_missing_value_agrees_with_a_single_one(jsonl: Write) -> None:
    lines = [rollout("a", task_id=1), rollout("a"), rollout("a", task_id=None)]
    assert groups(keyed(jsonl(*lines))) == [0, 0, 0]


def test_a_missing_value_against_several_is_unclear(jsonl: Write) -> None:
    lines = [rollout("a", task_id=1), rollout("a"), rollout("a", task_id=2), rollout("b")]
    assert groups(keyed(jsonl(*lines))) == [0, None, 1, 2]


def test_a_text_and_a_number_are_different_values_and_null_is_none(jsonl: Write) -> None:
    lines = [rollout("a", task_id=value) for value in (1, "1", [1], {"x": 1, "y": 2})]
    turned = rollout("a", task_id={"y": 2, "x": 1})
    assert groups(keyed(jsonl(*lines, turned))) == [0, 1, 2, 3, 3]


def test_a_huge_number_may_name_a_task(jsonl: Write) -> None:
    lines = [rollout("a", task_id=10**40 + i) for i in (0, 1, 0)]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 0]


def test_without_prompt_index_or_field_every_rollout_is_a_task_of_its_own(jsonl: Write) -> None:
    lines = [rollout([]), rollout([]), rollout([], "other")]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 2]


def test_without_a_prompt_the_same_fields_are_the_same_task(jsonl: Write) -> None:
    lines = [rollout([], task_id=1), rollout([], task_id=2), rollout([], task_id=1), rollout([])]
    assert groups(keyed(jsonl(*lines))) == [0, 1, 0, 2]


def test_another_prompt_with_the_same_field_is_another_task(jsonl: Write) -> None:
    assert groups(keyed(jsonl(rollout("a", task_id=1), rollout("b", task_id=1)))) == [0, 1]


KEY = st.none() | st.integers(1, 3)
NO_REPEAT = pl.lit(0, pl.UInt64)
Row = tuple[int | None, int | None, int | None, int | None, int | None]


def frame(rows: list[Row]) -> pl.DataFrame:
    names = ("prompt_key", "index_key", *map(task_field, range(3)))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    numbers = list(range(len(rows)))
    fixed = {"run": [0] * len(rows), "id_hi": numbers, "id_lo": numbers, "row": numbers}
    return pl.DataFrame(columns | fixed, schema=dict.fromkeys(columns | fixed, pl.UInt64))


def oracle(rows: list[Row]) -> list[Any]:
    """The task of each row, by looking at every other row."""
    tasks: list[Any] = []
    for number, (prompt, index, *fields) in enumerate(rows):
        peers = [row[2:] for row in rows if row[0] == prompt and row[1] is None]
        several = [i for i in range(3) if len({peer[i] for peer in peers} - {None}) > 1]
        known = [i for i in several if fields[i] is not None]
        fitting = {
            tuple(peer[i] for i in several)
            for peer in peers
            if all(peer[i] is not None for i in several)
            and all(peer[i] == fields[i] for i in known)
        }
        if index is not None:
            tasks.append(("index", index, prompt))
        elif prompt is None:
            lonely = all(field is None for field in fields)
            tasks.append(("own", number) if lonely else ("fields", *fields))
        elif len(known) == len(several):
            tasks.append(("prompt", prompt, tuple(fields[i] for i in several)))
        else:
            tasks.append(("prompt", prompt, *fitting) if len(fitting) == 1 else None)
    return tasks


@settings(max_examples=often(40, 400))
@given(st.lists(st.tuples(KEY, st.none() | st.none() | KEY, KEY, KEY, KEY), max_size=12))
def test_tasks_are_those_of_a_slow_oracle(rows: list[Row]) -> None:
    found = with_task_key(frame(rows), NO_REPEAT, "auto", None)[0]["task_key"].to_list()
    expected = oracle(rows)
    assert [key is None for key in found] == [task is None for task in expected]
    assert Counter(zip(found, map(repr, expected), strict=True)).keys() == {
        (key, repr(task)) for key, task in dict(zip(found, expected, strict=True)).items()
    }
    assert len({*found}) == len({*map(repr, expected)})


@given(st.lists(st.tuples(KEY, KEY, KEY, KEY, KEY), max_size=12), st.randoms())
def test_tasks_do_not_depend_on_the_order(rows: list[Row], chance: random.Random) -> None:
    rows_in = frame(rows)
    shuffled = rows_in.sample(fraction=1, shuffle=True, seed=chance.randrange(2**32))
    one, other = (with_task_key(part, NO_REPEAT, "auto", None)[0] for part in (rows_in, shuffled))
    assert one["task_key"].to_list() == other.sort("row")["task_key"].to_list()


# By a path, and in a row


def test_a_path_groups_and_where_it_is_missing_the_prompt_does(jsonl: Write) -> None:
    lines = [
        rollout("a", meta={"g": 1}),
        rollout("b", meta={"g": 1}),
        rollout("a", meta={"g": 2}),
        rollout("a"),
        rollout("a", meta={"g": None}),
        rollout("b", meta="x"),
    ]
    assert groups(keyed(jsonl(*lines), group_by="meta.g")) == [0, 0, 1, 2, 2, 3]


def consecutive(path: str, num_repeats: int) -> list[int | None]:
    return groups(keyed(path, group_by="consecutive", num_repeats=num_repeats))


def test_consecutive_lines_are_a_task_and_the_last_may_be_incomplete(jsonl: Write) -> None:
    path = jsonl(*[rollout(str(i)) for i in range(8)])
    assert consecutive(path, 3) == [0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("bad", [b"bad", b"x" * 3000])
def test_a_bad_line_keeps_its_place_among_consecutive_lines(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch, bad: bytes
) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 2000)
    lines = [rollout(), bad, rollout(), b"", rollout(), rollout(), rollout()]
    assert consecutive(jsonl(*lines), 3) == [0, 0, 1, 1, 1]


def test_consecutive_lines_go_on_across_slices_and_begin_anew_in_a_file(
    jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [rollout(), b"", rollout(), b"bad", b"", *[rollout()] * 8]
    paths = [jsonl(*lines, name=f"{i}.jsonl") for i in range(2)]
    whole = groups(keyed(*paths, group_by="consecutive", num_repeats=3))
    assert whole == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7]
    for size in (64, 200, 1000):
        monkeypatch.setattr(table, "SLICE_BYTES", size)
        assert groups(keyed(*paths, group_by="consecutive", num_repeats=3)) == whole


# Figures


def figures(rows: list[Row], **more: Any) -> dict[str, int]:
    return with_task_key(frame(rows), NO_REPEAT, "auto", None)[1]


def test_the_figures_say_where_the_ways_of_grouping_disagree() -> None:
    none = (None, None, None)
    assert figures([(1, 1, *none), (2, 1, *none), (2, 2, *none)]) == {
        "tasks": 3, "rollouts": 3, "unclear": 0, "indices_with_several_prompts": 1,
        "prompts_with_several_indices": 1, "prompts_of_several_tasks": 0,
    }  # fmt: skip
    found = figures([(1, None, 1, None, None), (1, None, 2, None, None), (1, None, *none)])
    assert (found["tasks"], found["unclear"], found["prompts_of_several_tasks"]) == (2, 1, 1)


def test_prompts_that_only_some_lines_have_an_index_for_are_counted() -> None:
    none = (None, None, None)
    found = figures([(1, 1, *none), (1, None, *none), (2, 2, *none), (3, None, *none)])
    assert (found["tasks"], found["prompts_with_and_without_index"]) == (4, 1)
    assert figures([(1, None, *none), (2, 2, *none)])["prompts_with_and_without_index"] == 0


@pytest.mark.parametrize(("group_by", "count"), [("auto", 3), ("g", 2), ("consecutive", None)])
def test_prompts_whose_indices_are_in_several_runs_are_counted(
    group_by: str, count: int | None
) -> None:
    prompts = {"prompt_key": [1, 1, 2, 2, 3, 3, 4, 4], "index_key": [1, 1, 2, 5, None, None, 7, 7]}
    values = {"group_value": [9, 9, *[None] * 6]}
    runs = {"run": [0, 1, 0, 1, 0, 1, 0, 1], "source": [0, 1, 0, 1, 0, 1, 0, 1], "place": [1] * 8}
    rows = frame([(None, None, None, None, None)] * 8).with_columns(
        pl.Series(name, column, pl.UInt64) for name, column in (prompts | values | runs).items()
    )
    repeats = 1 if group_by == "consecutive" else None
    found = with_task_key(rows, NO_REPEAT, group_by, repeats)[1]
    assert found.get("prompts_in_several_runs") == count
    alone = rows.with_columns(run=pl.lit(0, pl.UInt64))
    assert "prompts_in_several_runs" not in with_task_key(alone, NO_REPEAT, "auto", None)[1]


# The traps


def sizes(path: Path, **params: Any) -> list[int]:
    return sorted(Counter(groups(keyed(path, **params))).values())


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("newton_bench__example_rollouts", 5),
        ("blackjack__example_rollouts", 5),
        ("asr_with_pc__example_rollouts", 5),
        ("indirect_prompt_injection__example_rollouts", 5),
        ("aviary__example_rollouts", 5),
    ],
)
def test_what_looks_alike_in_a_real_file_is_told_apart(real: Path, name: str, tasks: int) -> None:
    assert sizes(real / f"{name}.jsonl") == [1] * tasks


@pytest.mark.parametrize(
    ("name", "tasks", "repeats"),
    [
        ("aviary_wrapper__hotpotqa_20_rollouts", 20, 3),
        ("text_to_sql__example_rollouts", 5, 3),
        ("anyswe_agent__example_rollouts_hermes", 1, 5),
        ("anyswe_agent__example_rollouts_claude_code", 1, 5),
    ],
)
def test_repeats_far_apart_in_a_real_file_are_found(
    real: Path, name: str, tasks: int, repeats: int
) -> None:
    assert sizes(real / f"{name}.jsonl") == [repeats] * tasks


def test_newton_bench_has_three_lines_with_word_for_word_the_same_prompt(real: Path) -> None:
    rows = keyed(real / "newton_bench__example_rollouts.jsonl")
    assert rows["prompt_key"].value_counts()["count"].max() == 3
    assert rows["task_key"].n_unique() == rows.height


def test_a_real_file_given_as_two_runs_does_not_mix_their_indices(
    real: Path, tmp_path: Path
) -> None:
    name = "mcqa__example_rollouts.jsonl"
    paths = [tmp_path / run for run in ("a.jsonl", "b.jsonl")]
    for path in paths:
        path.write_bytes((real / name).read_bytes())
    one, two = keyed(paths[0]), keyed(*paths)
    with_index = "_ng_task_index" in (real / name).read_text()
    expected = one["task_key"].n_unique() * (2 if with_index else 1)
    assert two["task_key"].n_unique() == expected
