"""The format `messages`: OpenAI chat."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.formats.messages import messages
from gymrecipe.rollouts.chat import Function, Message, ToolCall

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(messages(example)))


def test_a_demonstration_is_one_list_of_messages() -> None:
    example = Example("sft", (b"",), {"reward": 1.0}, prompt=[ASKED], completion=[SAID])
    assert plain(example) == {
        "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
        "reward": 1.0,
    }


def test_a_pair_is_a_prompt_and_two_answers() -> None:
    example = Example("dpo", (b"", b""), {"reward_gap": 0.5}, prompt=[ASKED], chosen=[SAID])
    assert list(plain(example)) == ["prompt", "chosen", "rejected", "reward_gap"]


def test_a_scored_trajectory_has_its_reward() -> None:
    example = Example("buffer", (b"",), {}, prompt=[ASKED], completion=[SAID], reward=0.25)
    assert plain(example)["reward"] == 0.25


def test_arguments_are_json_text() -> None:
    call = ToolCall(id="a", function=Function("f", {"x": 1e22, "y": 2**53 + 1}))
    turn = Message("assistant", "", tool_calls=[call])
    found = plain(Example("sft", (b"",), {}, completion=[turn]))["messages"][0]["tool_calls"][0]
    assert found["type"] == "function"
    assert json.loads(found["function"]["arguments"]) == {"x": 1e22, "y": 2**53 + 1}


def test_the_example_keeps_its_objects() -> None:
    turn = Message("assistant", "", tool_calls=[ToolCall(id="a", function=Function("f", {}))])
    messages(Example("sft", (b"",), {}, completion=[turn]))
    assert turn.tool_calls is not None
    assert turn.tool_calls[0].function.arguments == {}


def test_token_ids_stay_beside_calls() -> None:
    call = ToolCall(id="a", function=Function("f", {}))
    turn = Message("assistant", "", tool_calls=[call], generation_token_ids=[7, 8])
    found = plain(Example("buffer", (b"",), {}, completion=[turn]))["messages"][0]
    assert found["generation_token_ids"] == [7, 8]


def test_tools_are_a_column_only_where_the_dataset_has_tools() -> None:
    assert "tools" not in plain(Example("sft", (b"",), {}, completion=[SAID]))
    assert plain(Example("sft", (b"",), {}, completion=[SAID], tools=[]))["tools"] == []
