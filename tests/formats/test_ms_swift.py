"""The format `ms_swift`."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.ms_swift import guide, ms_swift
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable
from tests.formats.conversations import ACTED, PROMPT, TOOLS

ASKED, SAID = Message("user", "2+2?"), Message("assistant", "4")
QUIET = [msgspec.structs.replace(ACTED[0], content="So:", reasoning_content=None), *ACTED[1:]]


def test_a_demonstration_is_in_its_own_roles() -> None:
    found = ms_swift(Example("sft", (), {"reward": 1.0}, PROMPT, QUIET, tools=TOOLS))
    assert [turn["role"] for turn in found["messages"]] == [
        *("system", "user", "assistant", "tool_call", "tool_call"),
        *("tool_response", "tool_response", "assistant"),
    ]
    assert json.loads(found["messages"][4]["content"]) == {"name": "now", "arguments": {}}
    assert json.loads(found["tools"]) == TOOLS
    assert [turn.get("name") for turn in found["messages"][5:]] == ["find", "now", None]
    more = {key for turn in found["messages"] for key in turn} - {"role", "content"}
    assert more == {"name"}


def test_calls_alone_have_no_empty_text_before_them() -> None:
    alone = [msgspec.structs.replace(QUIET[0], content=""), *QUIET[1:]]
    found = ms_swift(Example("sft", (), {}, [ASKED], alone))
    assert found["messages"][1]["role"] == "tool_call"


def test_a_pair_is_two_conversations_of_which_the_answers_are_trained() -> None:
    prompt = [ASKED, SAID, ASKED]
    example = Example("dpo", (), {}, prompt, chosen=[SAID], rejected=QUIET, tools=TOOLS, margin=0.5)
    found = ms_swift(example)
    trained = [turn.get("loss") for turn in found["rejected_messages"]]
    assert trained == [None, False, None, True, True, True, None, None, True]
    assert found["rejected_tools"] == found["tools"]
    assert "margin" not in found


def test_a_reward_model_pair_has_its_margin() -> None:
    example = Example("reward_model", (), {}, [ASKED], chosen=[SAID], rejected=[SAID], margin=0.5)
    assert ms_swift(example)["margin"] == 0.5


def test_a_labelled_completion_has_a_boolean_label() -> None:
    found = ms_swift(Example("kto", (), {}, [ASKED], [SAID], label=False))
    assert found["label"] is False
    assert found["messages"][1]["loss"] is True


def test_a_prompt_has_the_solution_and_all_that_the_verifier_needs() -> None:
    verifier = {"expected_answer": Raw(b'"4"'), "id": Raw(b"1")}
    found = ms_swift(Example("rl", (), {}, [ASKED], verifier=verifier))
    assert found["messages"] == [{"role": "user", "content": "2+2?"}]
    assert found["solution"] == "4"
    assert json.loads(found["verifier"]) == {"expected_answer": "4", "id": 1}


@pytest.mark.parametrize("text", ["{{QUERY}}", "see {{ROUND0}}", "{{SYSTEM}}"])
def test_what_its_templates_replace_is_refused(text: str) -> None:
    with pytest.raises(Unusable, match="format_markers"):
        ms_swift(Example("rl", (), {}, [Message("user", text)]))
    assert ms_swift(Example("sft", (), {}, [ASKED], [Message("assistant", text)]))


def test_a_call_that_looks_like_react_is_refused() -> None:
    call = ToolCall(id="a", function=Function("f", {"x": "Action: a", "y": "Action Input: b"}))
    turns = [Message("assistant", "", tool_calls=[call]), Message("tool", ""), SAID]
    with pytest.raises(Unusable, match="format_markers"):
        ms_swift(Example("sft", (), {}, [ASKED], turns))


def test_thoughts_beside_the_text_are_refused() -> None:
    with pytest.raises(Unusable, match="reasoning_beside_text"):
        ms_swift(Example("sft", (), {}, PROMPT, ACTED))


def test_tools_with_numbers_that_stop_it_are_refused() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"default": 2**64}}}]
    with pytest.raises(Unusable, match="number_too_wide"):
        ms_swift(Example("sft", (), {}, [ASKED], [SAID], tools=tools))


@pytest.mark.parametrize("purpose", FORMATS["ms_swift"].purposes)
def test_the_guide_names_the_command_the_files_and_a_length(purpose: Any) -> None:
    files = {"train": ["data/a.jsonl", "data/b.jsonl"], "validation": ["data/v.jsonl"]}
    ((_, text),) = guide(Written(purpose, "mine", "data", files, True, True, 30_000)).load
    assert text.startswith("swift ")
    assert "--dataset data/a.jsonl data/b.jsonl" in text
    assert "--val_dataset data/v.jsonl" in text
    assert "--max_length 10240" in text
