"""The models of a row of `verl`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gymrecipe.formats.models.verl import LINES, traps

TALK = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
PROMPT: dict[str, Any] = {
    "data_source": "a",
    "prompt": TALK[:1],
    "ability": "chat",
    "reward_model": {"style": "rule", "ground_truth": "4"},
    "extra_info": {"index": 0, "split": "train"},
    "agent_name": "single_turn_agent",
}


@pytest.mark.parametrize("messages", [TALK, "4", json.dumps(TALK[:1]), json.dumps([{}])])
def test_messages_are_the_json_text_of_a_whole_conversation(messages: Any) -> None:
    LINES["sft"].model_validate({"messages": json.dumps(TALK)})
    with pytest.raises(ValidationError):
        LINES["sft"].model_validate({"messages": messages})


def test_tools_that_are_a_list_are_refused() -> None:
    with pytest.raises(ValidationError, match="tools"):
        LINES["sft"].model_validate({"messages": json.dumps(TALK), "tools": []})


def test_a_reward_model_row_is_texts() -> None:
    row = {"prompt": "?", "chosen": "4", "rejected": "5"}
    LINES["reward_model"].model_validate(row)
    with pytest.raises(ValidationError, match="prompt"):
        LINES["reward_model"].model_validate(row | {"prompt": TALK})


@pytest.mark.parametrize("name", PROMPT)
def test_a_prompt_has_every_column(name: str) -> None:
    LINES["rl"].model_validate(PROMPT)
    with pytest.raises(ValidationError, match=name):
        LINES["rl"].model_validate({key: value for key, value in PROMPT.items() if key != name})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": [TALK[0] | {"tool_calls": None}]}, "tool_calls: is null"),
        ({"prompt": [TALK[0] | {"role": "developer"}]}, "left out silently"),
        ({"extra_info": {"index": 0, "split": "x", "tools_kwargs": {}}}, "empty object"),
        ({"agent_name": "mine"}, "no agent loop"),
    ],
)
def test_each_trap_is_told(change: Any, said: str) -> None:
    assert not list(traps(PROMPT, "rl"))
    assert said in " ".join(traps(PROMPT | change, "rl"))


def test_a_pair_of_one_answer_is_a_trap() -> None:
    assert list(traps({"prompt": "?", "chosen": "4", "rejected": "4"}, "reward_model"))
