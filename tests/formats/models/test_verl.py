"""The models of a row of `verl`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.verl import LINES, traps
from tests.formats.models.conftest import validate

TALK = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
PROMPT: dict[str, Any] = {
    "data_source": "a",
    "prompt": TALK[:1],
    "ability": "chat",
    "reward_model": {"style": "rule", "ground_truth": "4"},
    "extra_info": {"index": 0, "split": "train"},
    "agent_name": "single_turn_agent",
}


@pytest.mark.parametrize("messages", [TALK[:1], "4", json.dumps(TALK[:1]), json.dumps([{}])])
def test_messages_are_a_whole_conversation_as_json_text_or_a_list(messages: Any) -> None:
    validate(LINES["sft"], {"messages": json.dumps(TALK)})
    validate(LINES["sft"], {"messages": TALK})
    with pytest.raises(ValidationError):
        validate(LINES["sft"], {"messages": messages})


def test_tools_that_are_a_list_are_refused() -> None:
    with pytest.raises(ValidationError, match="tools"):
        validate(LINES["sft"], {"messages": json.dumps(TALK), "tools": []})


def test_a_reward_model_row_is_texts() -> None:
    row = {"prompt": "?", "chosen": "4", "rejected": "5"}
    validate(LINES["reward_model"], row)
    with pytest.raises(ValidationError, match="prompt"):
        validate(LINES["reward_model"], row | {"prompt": TALK})


@pytest.mark.parametrize("name", ["data_source", "prompt", "reward_model"])
def test_a_prompt_has_the_columns_that_verl_reads(name: str) -> None:
    validate(LINES["rl"], {key: PROMPT[key] for key in ("data_source", "prompt", "reward_model")})
    with pytest.raises(ValidationError, match=name):
        validate(LINES["rl"], {key: value for key, value in PROMPT.items() if key != name})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": [TALK[0] | {"tool_calls": None}]}, "tool_calls: is null"),
        ({"prompt": [TALK[0] | {"role": "developer"}]}, "left out silently"),
        ({"extra_info": {"index": 0, "split": "x", "tools_kwargs": {}}}, "empty object"),
        ({"agent_name": "mine"}, "no agent loop of verl's own"),
    ],
)
def test_each_trap_is_told(change: Any, said: str) -> None:
    assert not list(traps(PROMPT, "rl"))
    assert said in " ".join(traps(PROMPT | change, "rl"))


def test_a_pair_of_one_answer_is_a_trap() -> None:
    assert list(traps({"prompt": "?", "chosen": "4", "rejected": "4"}, "reward_model"))


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (json.dumps([*TALK, {"role": "user"}]), "messages.2.content: is missing"),
        ([*TALK, {"role": "tool"}, {"role": "tool"}], "messages.3: a second output in a row"),
    ],
)
def test_what_stops_its_sft_dataset_is_told(messages: Any, said: str) -> None:
    assert not list(traps({"messages": TALK}, "sft"))
    (trap,) = traps({"messages": messages}, "sft")
    assert said in trap


@pytest.mark.parametrize("as_text", [True, False])
def test_a_call_of_a_tool_that_is_not_described_is_told(as_text: bool) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {}}}
    turns: Any = [TALK[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    line = {"messages": json.dumps(turns) if as_text else turns}
    (trap,) = traps(line, "sft")
    assert trap == "messages.1.tool_calls.0: calls 'f', a name that no tool has"
    tool = {"type": "function", "function": {"name": "f"}}
    assert not list(traps(line | {"tools": json.dumps([tool]) if as_text else [tool]}, "sft"))
