"""The format `trl`."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.formats.trl import trl
from gymrecipe.rollouts.messages import Function, Message, ToolCall

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(trl(example)))


def test_a_demonstration_is_one_list_of_messages() -> None:
    example = Example("sft", (b"",), {"reward": 1.0}, prompt=[ASKED], completion=[SAID])
    assert plain(example) == {
        "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
        "reward": 1.0,
    }


def test_a_pair_is_a_prompt_and_two_answers() -> None:
    example = Example("dpo", (b"", b""), {"reward_gap": 0.5}, prompt=[ASKED], chosen=[SAID])
    assert list(plain(example)) == ["prompt", "chosen", "rejected", "reward_gap"]


def test_arguments_are_objects() -> None:
    turn = Message("assistant", "", tool_calls=[ToolCall(id="a", function=Function("f", {"x": 1}))])
    found = plain(Example("sft", (b"",), {}, completion=[turn]))["messages"][0]
    assert found["tool_calls"][0]["function"]["arguments"] == {"x": 1}


def test_no_null_keys_are_written_but_content_always_is() -> None:
    found = plain(Example("sft", (b"",), {}, completion=[Message("assistant", "")]))
    assert found["messages"] == [{"role": "assistant", "content": ""}]


def test_a_row_without_tools_has_null_where_the_dataset_has_tools() -> None:
    assert "tools" not in plain(Example("sft", (b"",), {}, completion=[SAID]))
    assert plain(Example("sft", (b"",), {}, completion=[SAID], tools=[]))["tools"] is None
