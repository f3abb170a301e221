"""What a scan finds in a line: the score, flags, counts, and the key of the prompt."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts import batches
from gymrecipe.rollouts.columns import Column, parse_path
from gymrecipe.rollouts.known_fields import KNOWN_FIELDS
from gymrecipe.rollouts.naming import sources
from gymrecipe.rollouts.scan import exact_sum, scan
from gymrecipe.rollouts.scanned import Job
from tests.rollouts.conftest import Write, read, rollout

USER = {"role": "user", "content": "2+2?"}


def said(text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content, **more}


def called(id: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}", **more}


def answered(id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": "x"}


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}


def line(*output: Any, input: Any = "2+2?", response: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "responses_create_params": {"input": input},
        "response": {"output": list(output), **(response or {})},
        "reward": 1.0,
        **more,
    }


@pytest.fixture
def row(jsonl: Write) -> Any:
    """The one row of a one-line file."""

    def of(content: Any, **wanted: Any) -> dict[str, Any]:
        (found,) = read(jsonl(content), **wanted).rows.rows(named=True)
        return dict(found)

    return of


# Reward


@pytest.mark.parametrize(
    ("value", "reward"),
    [(0.0, 0.0), (0, 0.0), (-0.49, -0.49), (19.4, 19.4), (1, 1.0), (0.9999999999999998,) * 2]
    + [(missing, None) for missing in (None, "1.0", True, False, [1.0], {"value": 1.0})],
)
def test_only_a_number_is_a_reward_and_zero_is_one(row: Any, value: Any, reward: Any) -> None:
    assert row(rollout(reward=value))["reward"] == reward


def test_an_absent_reward_is_missing(row: Any) -> None:
    content = rollout()
    del content["reward"]
    assert row(content)["reward"] is None


@pytest.mark.parametrize(
    ("path", "reward"),
    [
        ("accuracy", 0.25),
        ("reward_components.format", 0.5),
        ('field["pass@1"]', 0.75),
        ('field["a\\"b"]', 0.125),
        ("scores.1", 2.0),
        ("response.score", 3.0),
    ],
)
def test_the_score_may_be_anywhere_in_the_line(row: Any, path: str, reward: float) -> None:
    more = {
        "accuracy": 0.25,
        "reward_components": {"format": 0.5},
        "pass@1": 0.75,
        'a"b': 0.125,
        "scores": [1.0, 2.0],
    }
    content = line(said("4"), response={"score": 3.0}, **more)
    assert row(content, reward=path)["reward"] == reward


# A line is a row or bad, never both

TRAPS = [
    b'"late": 1e999',
    b'"task_id": 1e999',
    b'"late": "\\ud800"',
    b'"agent_ref": {"name": "\\ud800"}',
    b'"reward": 1e999',
    b'"reward": ' + b"9" * 400,
    b'"difficulty": {"a": [1e999]}',
    b'"mask_sample": 1e999',
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: repr(trap[:40]))
def test_a_line_is_a_row_or_it_is_bad_and_never_both(jsonl: Write, trap: bytes) -> None:
    good = json.dumps(rollout(late=0.5)).encode()
    table = read(jsonl(good, good[:-1] + b", " + trap + b"}", good), metric_rows=True)
    assert table.rows.height + table.bad.height == 3
    assert table.rows["line"].to_list()[-1] == 3
    assert table.metrics["late"]["n"] == table.rows.height
    assert table.metric_rows.height == table.metric_rows.unique(["row", "metric"]).height


def test_a_token_count_beyond_every_integer_is_missing(row: Any) -> None:
    for count in (2**63, 2**70, -1, 1.5, "7"):
        content = line(said("4"), response={"usage": {"output_tokens": count}})
        assert row(content)["output_tokens"] is None


def test_a_token_count_is_taken_from_the_usage(row: Any) -> None:
    content = line(said("4"), response={"usage": {"output_tokens": 12, "input_tokens": 3}})
    assert row(content)["output_tokens"] == 12


@pytest.mark.parametrize("usage", [None, [], "x", 5, {}])
def test_a_response_without_usage_has_no_token_count(row: Any, usage: Any) -> None:
    assert row(line(said("4"), response={"usage": usage}))["output_tokens"] is None


def test_a_chat_message_that_refuses_has_said_something(row: Any) -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "I can't."}
    rows = [row(line(refusal)), row({"messages": [USER], "response": refusal})]
    assert [(found["empty"], found["answer_chars"]) for found in rows] == [(False, 8)] * 2
    assert {found["answer_key"] for found in rows} == {row(line(said("I can't.")))["answer_key"]}


# Flags

FLAGS = ("truncated", "failed", "masked", "empty", "unanswered_calls", "has_tools")


def flags(found: dict[str, Any]) -> set[str]:
    return {name for name in FLAGS if found[name]}


@pytest.mark.parametrize(
    ("content", "raised"),
    [
        (line(said("4")), set()),
        (line(said("4"), response={"status": "completed"}), set()),
        (line(said("4"), response={"status": None, "incomplete_details": None}), set()),
        (line(said("4"), response={"incomplete_details": {"reason": None}}), set()),
        (
            line(said("4"), response={"incomplete_details": {"reason": "max_output_tokens"}}),
            {"truncated"},
        ),
        (line(said("4"), response={"status": "incomplete"}), {"truncated"}),
        (line(said("4"), response={"incomplete_details": "x"}), set()),
        (line(said("4"), response={"status": "failed"}), {"failed"}),
        (line(said("4"), response={"status": "cancelled"}), {"failed"}),
        (line(said("4"), response={"error": {"code": "x"}}), {"failed"}),
        (line(said("4"), response={"error": None}), set()),
        (line(said("4"), _ng_failure_class="timeout_exceeded"), {"failed"}),
        (line(said("4"), failure_kind="judge_failed"), {"failed"}),
        (line(said("4"), failure_kind=None), set()),
        (line(said("4"), agent_error="ClientResponseError: 400"), {"failed"}),
        (line(said("4"), judge_error="2/9 criteria unresolved"), {"failed"}),
        (line(said("4"), verifier_error="TimeoutError"), {"failed"}),
        *((line(said("4"), judge_error=nothing), set()) for nothing in (None, "", False, 0, 0.0)),
        (line(said("4"), mask_sample=True), {"masked"}),
        (line(said("4"), mask_sample=False), set()),
        (line(said("4"), mask_sample="true"), {"masked"}),
        (line(said("4"), mask_sample=1), {"masked"}),
        (line(said("4"), mask_sample=0), set()),
        (line(said("4"), instance_config={"mask_sample": True}), {"masked"}),
        (line(said("4"), instance_config={"mask_sample": False}), set()),
        (line(said("4"), instance_config="x"), set()),
        (line(said("4"), instance_config=None), set()),
        (line(), {"empty"}),
        (line(said("")), {"empty"}),
        (line(said("\n\n")), {"empty"}),
        (line(THOUGHT), {"empty"}),
        (line(said("down", prompt_token_ids=[0], generation_token_ids=[0])), {"empty"}),
        (line(said("4", prompt_token_ids=[0, 1], generation_token_ids=[0])), set()),
        (line(USER, USER), {"empty"}),
        (line(called("a")), {"unanswered_calls"}),
        (line(called("a"), answered("a")), set()),
        (line(called("a"), answered("b")), {"unanswered_calls"}),
        (line(called("a"), called("b"), answered("b")), {"unanswered_calls"}),
        (line(called("a"), THOUGHT, answered("a"), said("4")), set()),
    ],
    ids=repr,
)
def test_a_flag_is_raised_for_what_it_says(row: Any, content: Any, raised: set[str]) -> None:
    assert flags(row(content)) == raised


@pytest.mark.parametrize(
    "content",
    [{"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}],
)
def test_chat_calls_count_and_want_their_tool_message(row: Any, content: Any) -> None:
    call = {"role": "assistant", **content}
    lonely = row({"messages": [USER, call]})
    assert (lonely["tool_calls"], flags(lonely)) == (1, {"unanswered_calls"})
    done = row({"messages": [USER, call, {"role": "tool", "tool_call_id": "a", "content": "x"}]})
    assert (done["tool_calls"], flags(done)) == (1, set())


# Counts


@pytest.mark.parametrize(
    ("output", "turns", "calls", "chars"),
    [
        ([said("four")], 1, 0, 4),
        ([THOUGHT, said("fo"), said("ur")], 1, 0, 4),
        ([called("a"), called("b"), answered("a"), answered("b"), said("x")], 2, 2, 1),
        ([called("a"), answered("a"), called("b"), answered("b"), said("x")], 3, 2, 1),
        ([said("one"), USER, said("three")], 2, 0, 5),
        ([called("a"), THOUGHT, answered("a"), said("x")], 2, 1, 1),
        ([said("a", generation_token_ids=[1]), said("bc", generation_token_ids=[2])], 2, 0, 2),
        ([said("a", generation_token_ids=[]), said("bc", generation_token_ids=[])], 1, 0, 3),
        ([said("said"), called("a")], 1, 1, 4),
        ([said("a", generation_token_ids=[1]), called("a"), called("b")], 1, 2, 1),
        ([said("a", generation_token_ids=[1]), called("a"), called("b", generation_token_ids=[2])],
         2, 2, 0),
        (
            [said("a", generation_token_ids=[1]), called("a"), {"type": "custom_tool_call_output"},
             said("bc", generation_token_ids=[2])],
            2, 1, 2,
        ),
        ([USER], 0, 0, 0),
        ([], 0, 0, 0),
        (
            [{"type": "custom_tool_call"}, {"type": "custom_tool_call_output"}, said("x")],
            2, 0, 1,
        ),
        ([[USER, said("a")], [USER, said("a"), USER, called("c"), answered("c"), said("bcd")]],
         3, 1, 3),
    ],
)  # fmt: skip
def test_a_turn_is_one_call_of_the_model(
    row: Any, output: list[Any], turns: int, calls: int, chars: int
) -> None:
    found = row(line(*output))
    assert (found["turns"], found["tool_calls"], found["answer_chars"]) == (turns, calls, chars)


def test_characters_are_counted_not_bytes(row: Any) -> None:
    assert row(line(said("né😀")))["answer_chars"] == 3


def test_a_chat_message_that_refuses_is_not_empty(row: Any) -> None:
    refusing = {"role": "assistant", "content": None, "refusal": "No."}
    for more in ({"messages": [USER, refusing]}, {"messages": [USER], "response": refusing}):
        found = row({"reward": 0.0} | more)
        assert (found["answer_chars"], found["empty"]) == (3, False)


def test_items_are_those_of_the_response_and_not_of_the_prompt_at_its_head(row: Any) -> None:
    assert row(line(THOUGHT, said("4")))["output_items"] == 2
    assert row(line(USER, THOUGHT, said("4"), input=[]))["output_items"] == 2


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [("text", "x", "x"), ("number", 0, 0.0), ("boolean", False, False), ("any", [], True)],
)
def test_a_null_is_no_value_where_a_column_has_several_places(
    kind: Any, value: Any, found: Any, row: Any
) -> None:
    column = Column("c", (("a", "b"), ("c",)), kind)
    assert row(rollout(a={"b": None}, c=value), columns=[column])["c"] == found
    assert row(rollout(a={"b": value}, c=None), columns=[column])["c"] == found
    assert row(rollout(a={"b": None}), columns=[column])["c"] in (None, False)


def test_the_model_is_the_one_that_answered(row: Any) -> None:
    content = line(said("4"), response={"model": "m"}, agent_ref={"name": "a"})
    assert (row(content)["model"], row(content)["agent"]) == ("m", "a")
    del content["response"]["model"]
    content["responses_create_params"]["model"] = "asked"
    content["agent_ref"] = "no object"
    assert (row(content)["model"], row(content)["agent"]) == ("asked", None)


# The key of the prompt


def prompt_key(row: Any, input: Any = None, **request: Any) -> int:
    content = line(said("4"))
    content["responses_create_params"] = {"input": [USER] if input is None else input, **request}
    return int(row(content)["prompt_key"])


TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    "same",
    [
        {"input": "2+2?"},
        {"input": [{"content": "2+2?", "role": "user"}]},
        {"input": [{"type": "message", **USER}]},
        {"input": [{"id": "msg_1", "status": "completed", **USER}]},
        {"input": [{"name": None, **USER}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "2+2?"}]}]},
        {"input": [{"role": "user", "content": [{"text": "2+"}, {"text": "2?", "x": None}]}]},
        {"tools": []},
        {"tools": None},
        {"instructions": None},
        {"instructions": ""},
        {"metadata": None},
        {"metadata": {"extra_body": '{"seed": 3}'}},
        {"metadata": {"seed": 3, "temperature": 0.7, "nothing": None}},
        {"metadata": {"attempt": "0", "rollout_index": "3", "_ng_rollout_index": "3"}},
        {"seed": 3, "temperature": 1.0, "top_p": 0.9, "max_output_tokens": 5, "model": "m"},
    ],
    ids=str,
)
def test_the_spelling_of_a_request_does_not_change_its_prompt(
    row: Any, same: dict[str, Any]
) -> None:
    assert prompt_key(row, **same) == prompt_key(row)


@pytest.mark.parametrize(
    "other",
    [
        {"input": "2+3?"},
        {"input": "2+2? "},
        {"input": [{**USER, "role": "developer"}]},
        {"input": [USER, USER]},
        {"input": [{"role": "system", "content": "s"}, USER]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        {"input": [USER, called("a"), answered("a")]},
        {"tools": [TOOL]},
        {"instructions": "be brief"},
        {"metadata": {"audio_url": "data:x"}},
        {"metadata": {"problem_statement": "fix it"}},
    ],
    ids=str,
)
def test_whatever_the_model_was_shown_is_part_of_the_prompt(
    row: Any, other: dict[str, Any]
) -> None:
    assert prompt_key(row, **other) != prompt_key(row)


def test_other_tools_are_another_prompt_and_their_spelling_is_not(row: Any) -> None:
    turned = dict(reversed([*TOOL.items(), ("strict", None)]))
    assert prompt_key(row, tools=[TOOL]) == prompt_key(row, tools=[turned])
    assert prompt_key(row, tools=[TOOL]) != prompt_key(row, tools=[{**TOOL, "name": "g"}])
    assert prompt_key(row, tools=[TOOL]) != prompt_key(row, tools=[TOOL, TOOL])


def test_a_request_seen_before_does_not_hide_what_else_is_in_the_line(jsonl: Write) -> None:
    """The key of a request is remembered, for the repeats of a task have the same one."""
    bare = line(said("4"))
    tooled = [{**bare, "tools": [TOOL]}, line(said("4"), response={"tools": [TOOL]})]
    asked = {"responses_create_params": bare["responses_create_params"]}
    path = jsonl(bare, bare, *tooled, bare, {**asked, "response": None}, tooled[0])
    table = read(path)
    assert table.rows["has_tools"].to_list() == [False, False, True, True, False, True]
    first, *_, last = table.rows["prompt_key"].to_list()
    assert table.rows["prompt_key"].to_list() == [first, first, last, last, first, last]
    assert first != last
    assert table.bad["reason"].to_list() == ["no_response"]


def test_a_prompt_at_the_head_of_the_output_is_not_taken_for_that_of_another_line(
    jsonl: Write,
) -> None:
    other = {"role": "user", "content": "3+3?"}
    path = jsonl(line(USER, said("4"), input=[]), line(other, said("6"), input=[]))
    assert read(path).rows["prompt_key"].n_unique() == 2


def test_the_ids_of_earlier_calls_are_no_part_of_the_prompt(row: Any) -> None:
    def items(id: str) -> list[Any]:
        return [USER, {**called(id), "id": f"fc_{id}"}, answered(id)]

    def chat(id: str) -> list[Any]:
        call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": "x"},
        ]

    for history in (items, chat):
        assert prompt_key(row, history("a")) == prompt_key(row, history("b"))


def test_earlier_calls_themselves_are_part_of_the_prompt(row: Any) -> None:
    def history(arguments: str) -> list[Any]:
        call = {"id": "a", "function": {"name": "f", "arguments": arguments}}
        return [USER, {"role": "assistant", "tool_calls": [call]}]

    assert prompt_key(row, history("{}")) != prompt_key(row, history('{"a": 1}'))


def test_all_shapes_of_a_line_have_the_same_prompt(row: Any) -> None:
    keys = {
        row(content)["prompt_key"]
        for content in (
            line(said("4")),
            line(USER, said("4"), input=[]),
            {"messages": [USER], "response": "4"},
            {"messages": [USER, {"role": "assistant", "content": "4"}]},
            {"messages": [USER, {"role": "assistant", "content": "4"}], "response": "4"},
            {"responses_create_params": {"input": "2+2?"}, "output": "4"},
        )
    }
    assert len(keys) == 1


@pytest.mark.parametrize("empty", [b"[]", b"[ ]", b"[\n              ]", b'""', b"null"])
def test_an_empty_input_says_nothing_however_it_is_written(jsonl: Write, empty: bytes) -> None:
    one, other = (
        b'{"responses_create_params": {"input": %s},'
        b' "response": {"output": [{"role": "user", "content": "%s"}, {"type": "reasoning"}]}}'
        % (empty.replace(b"\n", b" "), text)
        for text in (b"a", b"b")
    )
    assert read(jsonl(one, other)).rows["prompt_key"].n_unique() == 2


def test_without_any_prompt_there_is_no_key(row: Any) -> None:
    assert row(line(said("4"), input=[]))["prompt_key"] is None


# Fields and metrics


def test_every_numeric_field_is_measured_and_booleans_count_as_one_or_zero(jsonl: Write) -> None:
    path = jsonl(
        rollout(accuracy=0.5, ok=True, note="7", _ng_task_index=3, odd=None),
        rollout(ok=False, many=10**400),
        rollout(accuracy=1, ok=True, **{'a"b': 1.0}),
    )
    metrics = read(path).metrics
    assert metrics == {
        'a"b': {"n": 1, "mean": 1.0, "min": 1.0, "max": 1.0},
        "accuracy": {"n": 2, "mean": 0.75, "min": 0.5, "max": 1.0},
        "ok": {"n": 3, "mean": 2 / 3, "min": 0.0, "max": 1.0},
        "reward": {"n": 3, "mean": 1.0, "min": 1.0, "max": 1.0},
    }


def test_the_metrics_of_a_row_are_told_by_row(jsonl: Write) -> None:
    path = jsonl(rollout(), b"bad", rollout(accuracy=0.5))
    assert read(path, metric_rows=True).metric_rows.rows() == [
        (0, "reward", 1.0),
        (1, "reward", 1.0),
        (1, "accuracy", 0.5),
    ]


def test_the_fields_told_are_those_that_some_line_has(jsonl: Write) -> None:
    path = jsonl(rollout(b=1), rollout(a=1), rollout(**{'odd"key': 1, "": 2, "new\nline": 3}))
    found = read(path).fields
    assert sorted(found) == sorted(["reward", "a", "b", 'odd"key', "", "new\nline"])


def test_lines_of_endlessly_many_fields_are_read_with_those_asked_for(jsonl: Write) -> None:
    many = [
        rollout(**{f"field_{i}_{j}": 1 for j in range(KNOWN_FIELDS // 2)}, wanted=i)
        for i in range(5)
    ]
    late = rollout(late=True, mask_sample=True)
    columns = [Column("late", (("late",),), "boolean")]
    table = read(jsonl(*many, late), columns=columns)
    assert (table.rows.height, table.bad.height) == (6, 0)
    assert len(table.fields) <= KNOWN_FIELDS + 10
    assert table.rows["late"].to_list() == [None] * 5 + [True]
    assert table.rows["masked"].to_list() == [False] * 5 + [True]


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300))
)
def test_the_parts_of_a_sum_are_the_exact_sum(values: list[float]) -> None:
    assert sum(map(Fraction, exact_sum(values))) == sum(map(Fraction, values))


@given(st.lists(st.floats(-1e300, 1e300)), st.integers(1, 5))
def test_exact_sums_do_not_depend_on_slices(values: list[float], step: int) -> None:
    slices = [values[i : i + step] for i in range(0, len(values), step)]
    parts = [part for some in slices for part in exact_sum(some)]
    assert math.fsum(parts) == math.fsum(values)


def test_a_sum_beyond_every_float_is_no_crash(jsonl: Write) -> None:
    path = jsonl(*[rollout(huge=1.7e308)] * 3)
    assert read(path).metrics["huge"]["mean"] == math.inf


def test_the_real_lines_are_all_rows_or_known_placeholders(real: Path) -> None:
    for path in sorted(real.glob("*.jsonl")):
        table = read(path)
        assert table.rows.height + table.bad.height == table.read[0].lines > 0
        assert set(table.bad["reason"]) <= {"bad_json", "no_response", "not_a_rollout"}, path


# Batches

ODD_LINES = [
    line(said("4")),
    line(said("5"), called("a"), answered("a"), said("6"), score=0.25, passed=True),
    line(said("7"), response={"usage": {"output_tokens": 7}, "model": "m"}, score=-0.0, note="x"),
    line(said("8"), agent_ref={"name": "a"}, _ng_task_index=3, score=None, mask_sample=True),
    line(said("9"), score="high", passed=False, task_id="t", late={"deep": [1]}),
    line(said("é"), reward=2**53 + 1),
    {"messages": [{"role": "user", "content": "hi"}], "response": "yo", "reward": 1, "score": 1e22},
    {"responses_create_params": {"input": "no answer"}},
    {"error": "busy"},
    b'{"reward": 1, "reward": 2}',
    b'{"response": {"output": "a", "output": "b"}, "messages": "q", "note": 3}',
    b"not json",
    b"\xff\xfe",
    b"[1]",
    b"",
    b"  ",
]


@given(
    st.lists(st.integers(0, len(ODD_LINES) - 1), min_size=1, max_size=40),
    st.sampled_from([(), ("task_id", "late.deep")]),
    st.sampled_from([None, 3]),
)
def test_lines_that_are_taken_together_give_what_each_gives_alone(
    picked: list[int], task_fields: tuple[str, ...], limit: int | None
) -> None:
    columns = (
        Column("score", (("score",),), "number"),
        Column("note", (("note",),), "text"),
        Column("passed", (("passed",), ("late", "deep")), "boolean"),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        texts = [ODD_LINES[i] for i in picked]
        path.write_bytes(
            b"\n".join(t if isinstance(t, bytes) else json.dumps(t).encode() for t in texts)
        )
        (source,), _ = sources(str(path), False)
        job = Job(
            source=source,
            start=0,
            end=source.size,
            reward=("reward",),
            columns=columns,
            present=(("late", "deep"),),
            task_fields=tuple(parse_path(name) for name in task_fields),
            group_by=("note",),
            metric_rows=True,
            limit=limit,
        )
        together = scan(job)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "BATCH_ROWS", 1)
            alone = scan(job)
    assert msgspec.structs.asdict(together) | {"columns": 0} == (
        msgspec.structs.asdict(alone) | {"columns": 0}
    )
    # NaN stands for a missing number, and is not equal to itself.
    assert {name: values.tobytes() for name, values in together.columns.items()} == {
        name: values.tobytes() for name, values in alone.columns.items()
    }
