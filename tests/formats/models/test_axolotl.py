"""The models of a line of `axolotl`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.axolotl import LINES, traps
from tests.formats.models.conftest import validate

ASK, SAY = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}


def calling(arguments: Any) -> dict[str, Any]:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


NO_TEXT = calling({}) | {"content": None}
X = {"type": "string", "default": None}
NULL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": X}}},
}


@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x": 1}'])
def test_demonstrations_take_arguments_of_both_kinds(arguments: Any) -> None:
    validate(LINES["sft"], {"messages": [ASK, calling(arguments)], "tools": "[]"})


def test_demonstrations_may_have_messages_tools_and_parameters_as_text() -> None:
    turns: Any = [ASK, calling("{}")]
    schema = {"type": "function", "function": {"name": "f", "parameters": '{"type": "object"}'}}
    rows: list[Any] = [
        {"messages": json.dumps(turns), "tools": json.dumps([schema])},
        {"messages": turns, "tools": [schema]},
    ]
    for row in rows:
        validate(LINES["sft"], row)
        assert list(traps(row, "sft")) == []
    with pytest.raises(ValidationError, match="should end on the assistant"):
        validate(LINES["sft"], {"messages": json.dumps([ASK])})
    with pytest.raises(ValidationError, match="list"):
        validate(LINES["sft"], {"messages": "hi"})


def test_pairs_take_objects_only() -> None:
    row = {"prompt": [ASK], "chosen": [SAY], "rejected": [calling({"x": 1})]}
    validate(LINES["dpo"], row)
    with pytest.raises(ValidationError, match="arguments"):
        validate(LINES["dpo"], row | {"rejected": [calling('{"x": 1}')]})


def test_a_label_is_a_boolean_or_its_number() -> None:
    row = {"prompt": [ASK], "completion": [SAY], "label": True}
    validate(LINES["kto"], row)
    validate(LINES["kto"], row | {"label": 1})
    with pytest.raises(ValidationError, match="label"):
        validate(LINES["kto"], row | {"label": "yes"})


def test_a_reward_model_row_needs_a_system_text_even_if_empty() -> None:
    row = {"system": "", "input": "?", "chosen": "4", "rejected": "5"}
    validate(LINES["reward_model"], row)
    with pytest.raises(ValidationError, match="system"):
        validate(LINES["reward_model"], row | {"system": None})


@pytest.mark.parametrize(
    ("row", "purpose", "said"),
    [
        ({"messages": [ASK, SAY], "system": "x"}, "sft", "becomes the system message"),
        (
            {"messages": [ASK, SAY], "system": "x", "prompt": "for people"},
            "sft",
            "becomes the system message",
        ),
        ({"messages": [ASK, calling({"x": None})]}, "sft", "null argument is taken out"),
        ({"messages": [ASK, calling({"x": [{"y": None}]})]}, "sft", "null argument is taken out"),
        ({"messages": [ASK, SAY], "tools": [NULL]}, "sft", "nulls in a schema"),
        (
            {"prompt": [ASK], "chosen": [SAY], "rejected": [NO_TEXT]},
            "dpo",
            "rejected.0: no content",
        ),
        (
            {"prompt": [ASK], "chosen": [SAY, ASK, SAY], "rejected": [SAY]},
            "dpo",
            "chosen: has turns of the environment",
        ),
        (
            {"prompt": [ASK], "completion": [SAY, ASK, SAY], "label": True},
            "kto",
            "completion: has turns of the environment",
        ),
        ({"chosen": "a", "rejected": "b", "tools": "[1]"}, "reward_model", "do not reach"),
        ({"chosen": "a", "rejected": "a"}, "reward_model", "say the same"),
    ],
)
def test_each_trap_is_told(row: Any, purpose: Any, said: str) -> None:
    assert said in " ".join(traps(row, purpose))


def test_nulls_in_texts_are_decoded_too_late_to_be_taken_out() -> None:
    schema = NULL["function"]
    in_text = {"type": "function", "function": {**schema, "parameters": json.dumps(schema)}}
    calls = json.dumps([ASK, calling({"x": None})])
    assert list(traps({"messages": calls, "tools": [in_text]}, "sft")) == []
