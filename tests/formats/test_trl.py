"""The formats `trl` and `trl_prompt_completion`."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.trl import guide, trl, trl_prompt_completion
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable
from tests.formats.conversations import ACTED, PROMPT, TOOLS

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(trl(example)))


def calling(arguments: Any) -> Message:
    call = ToolCall(id="a", function=Function("f", arguments))
    return Message("assistant", "", tool_calls=[call])


def test_a_demonstration_is_one_list_of_messages() -> None:
    example = Example("sft", (b"",), {"reward": 1.0}, prompt=[ASKED], completion=[SAID])
    assert plain(example) == {
        "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
        "reward": 1.0,
    }


def test_a_demonstration_can_be_a_prompt_and_a_completion() -> None:
    example = Example("sft", (b"",), {"reward": 1.0}, prompt=[ASKED], completion=[SAID])
    assert trl_prompt_completion(example) == {
        "prompt": [ASKED],
        "completion": [SAID],
        "reward": 1.0,
    }


def test_a_pair_is_a_prompt_and_two_answers() -> None:
    example = Example("dpo", (b"", b""), {"reward_gap": 0.5}, prompt=[ASKED], chosen=[SAID])
    assert list(plain(example)) == ["prompt", "chosen", "rejected", "reward_gap"]


def test_a_pair_for_a_reward_model_has_its_margin() -> None:
    example = Example("reward_model", (b"", b""), {}, prompt=[ASKED], chosen=[SAID], margin=1.0)
    assert b'"margin":1.0' in msgspec.json.encode(trl(example))


@pytest.mark.parametrize("label", [True, False])
def test_a_labelled_completion_has_a_boolean(label: bool) -> None:
    example = Example("kto", (b"",), {}, prompt=[ASKED], completion=[SAID], label=label)
    assert plain(example)["label"] is label
    assert list(plain(example)) == ["prompt", "completion", "label"]


def test_a_prompt_has_the_fields_of_its_verifier_as_text() -> None:
    verifier = {"answer": msgspec.Raw(b'"4"'), "at": msgspec.Raw(b"0.3946063684687171")}
    example = Example("rl", (b"",), {"success_rate": 0.5}, prompt=[ASKED], verifier=verifier)
    assert plain(example) == {
        "prompt": [{"role": "user", "content": "2+2?"}],
        "verifier": '{"answer":"4","at":0.3946063684687171}',
        "success_rate": 0.5,
    }


def test_arguments_are_objects() -> None:
    found = plain(Example("sft", (b"",), {}, completion=[calling({"x": 1})]))["messages"][0]
    assert found["tool_calls"][0]["function"]["arguments"] == {"x": 1}


def test_parallel_calls_thoughts_and_outputs_keep_their_places() -> None:
    found = plain(Example("sft", (b"",), {}, prompt=PROMPT, completion=ACTED, tools=TOOLS))
    assert found["messages"] == msgspec.to_builtins([*PROMPT, *ACTED])


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_that_stops_the_loader_is_refused(number: int) -> None:
    example = Example("sft", (b"",), {}, completion=[calling({"x": [{"y": number}]})])
    with pytest.raises(Unusable, match="number_too_wide"):
        trl(example)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), str(2**70), 0.3946063684687171, 1e22])
def test_other_numbers_stay(value: Any) -> None:
    found = plain(Example("sft", (b"",), {}, completion=[calling({"x": value})]))["messages"][0]
    assert found["tool_calls"][0]["function"]["arguments"] == {"x": value}


def test_no_null_keys_are_written_but_content_always_is() -> None:
    found = plain(Example("sft", (b"",), {}, completion=[Message("assistant", "")]))
    assert found["messages"] == [{"role": "assistant", "content": ""}]


def test_tools_are_json_text_that_is_equal_to_them() -> None:
    found = plain(Example("sft", (b"",), {}, completion=[SAID], tools=TOOLS))["tools"]
    assert json.loads(found) == TOOLS


def test_a_row_without_tools_has_null_where_the_dataset_has_tools() -> None:
    assert "tools" not in plain(Example("sft", (b"",), {}, completion=[SAID]))
    assert plain(Example("sft", (b"",), {}, completion=[SAID], tools=[]))["tools"] is None


@pytest.mark.parametrize("purpose", FORMATS["trl"].purposes)
def test_the_guide_names_command_files_and_length(purpose: Any) -> None:
    files = {"train": ["data/train.jsonl"]}
    made = guide(Written(purpose, "mine", "data", files, True, False, 30_000))
    text = "\n".join(text for _, text in made.load)
    assert "data/train.jsonl" in text
    assert {"reward_model": "trl reward", "rl": "trl grpo"}.get(purpose, f"trl {purpose}") in text
    assert ("max_length: 10240" in text) is (purpose != "rl")
