"""The format `llama_factory`."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import yaml

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.llama_factory import guide, llama_factory
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable
from tests.formats.conversations import ACTED, PROMPT, TOOLS

ASKED, SAID = Message("user", "2+2?"), Message("assistant", "4")
QUIET = [msgspec.structs.replace(ACTED[0], reasoning_content=None), *ACTED[1:]]


def calling(text: str, **arguments: Any) -> list[Message]:
    call = ToolCall(id="a", function=Function("f", arguments))
    return [Message("assistant", text, tool_calls=[call]), Message("tool", "x"), SAID]


def value_of_call(text: str, **arguments: Any) -> str:
    example = Example("sft", (), {}, [ASKED], calling(text, **arguments))
    value: str = llama_factory(example)["conversations"][1]["value"]
    return value


def entries(purpose: Any, files: Any, has_tools: bool = True) -> Any:
    made = guide(Written(purpose, "mine", "data", files, has_tools, False, 30_000))
    return json.loads(made.files["dataset_info.json"])


def test_a_demonstration_alternates_and_names_system_and_tools() -> None:
    found = llama_factory(Example("sft", (), {"reward": 1.0}, PROMPT, QUIET, tools=TOOLS))
    sources = [turn["from"] for turn in found["conversations"]]
    assert sources == ["human", "function_call", "observation", "gpt"]
    assert found["system"] == "Be brief."
    assert json.loads(found["tools"]) == TOOLS
    assert found["reward"] == 1.0


def test_parallel_calls_are_one_list_and_their_outputs_one_observation() -> None:
    turns = llama_factory(Example("sft", (), {}, PROMPT, QUIET))["conversations"]
    assert [call["name"] for call in json.loads(turns[1]["value"])] == ["find", "now"]
    assert turns[2]["value"] == "here\n</tool_response>\n<tool_response>\n12:00"


def test_what_is_said_before_a_call_stands_before_its_marks() -> None:
    assert value_of_call("So:", x=1) == (
        'So:\n<tool_call>[{"name":"f","arguments":{"x":1}}]</tool_call>'
    )
    thought = "<think>\nHm.\n</think>\n\n"
    assert value_of_call(thought).startswith(f"{thought}<tool_call>")


def test_arguments_hold_no_mark_that_a_template_could_find() -> None:
    value = value_of_call("", x="</tool_call> <think>a</think> ◁think▷")
    assert not any(mark in value for mark in "<◁")
    assert json.loads(value)[0]["arguments"] == {"x": "</tool_call> <think>a</think> ◁think▷"}


@pytest.mark.parametrize(
    "turns",
    [
        [Message("user", "turn {{idx}}"), SAID],
        [ASKED, *calling("write <tool_call>")],
        [ASKED, *calling("</think>\n")],
        [ASKED, calling("")[0], Message("tool", "a</tool_response>b"), SAID],
    ],
)
def test_texts_that_would_be_read_otherwise_are_refused(turns: list[Message]) -> None:
    with pytest.raises(Unusable, match="format_markers"):
        llama_factory(Example("sft", (), {}, turns[:1], turns[1:]))


def test_thoughts_beside_the_text_are_refused() -> None:
    with pytest.raises(Unusable, match="reasoning_beside_text"):
        llama_factory(Example("sft", (), {}, PROMPT, ACTED))


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
def test_a_pair_is_two_single_messages(purpose: Any) -> None:
    example = Example(purpose, (), {}, [ASKED], chosen=[SAID], rejected=QUIET[:1])
    found = llama_factory(example)
    assert found["chosen"] == {"from": "gpt", "value": "4"}
    assert found["rejected"]["from"] == "function_call"
    example.rejected = QUIET
    with pytest.raises(Unusable, match="turns_do_not_alternate"):
        llama_factory(example)


def test_a_labelled_completion_has_a_boolean_tag() -> None:
    assert llama_factory(Example("kto", (), {}, [ASKED], [SAID], label=False))["kto_tag"] is False


def test_a_prompt_has_the_empty_answer_that_the_loader_wants() -> None:
    found = llama_factory(Example("rl", (), {}, PROMPT))
    assert found["conversations"][-1] == {"from": "gpt", "value": ""}


def test_a_row_without_system_or_tools_has_empty_texts() -> None:
    found = llama_factory(Example("sft", (), {}, [ASKED], [SAID], tools=[]))
    assert (found["system"], found["tools"]) == ("", "")


@pytest.mark.parametrize(
    ("purpose", "more"),
    [
        ("sft", {}),
        ("dpo", {"chosen": "chosen", "rejected": "rejected"}),
        ("kto", {"kto_tag": "kto_tag"}),
    ],
)
def test_dataset_info_names_every_column_that_is_read(purpose: Any, more: Any) -> None:
    info = entries(purpose, {"train": ["data/train.jsonl"]})
    columns = {"messages": "conversations", "system": "system", "tools": "tools", **more}
    assert info["mine"]["file_name"] == "train.jsonl"
    assert info["mine"]["columns"] == columns
    assert info["mine"].get("ranking", False) is (purpose == "dpo")


def test_a_dataset_without_tools_names_none() -> None:
    info = entries("sft", {"train": ["data/train.jsonl"]}, has_tools=False)
    assert "tools" not in info["mine"]["columns"]


def test_each_shard_and_split_has_an_entry() -> None:
    files = {"train": ["data/a.jsonl", "data/b.jsonl"], "validation": ["data/v.jsonl"]}
    assert list(entries("sft", files)) == ["mine_00000", "mine_00001", "mine_validation"]
    made = guide(Written("sft", "mine", "data", files, True, True, 30_000))
    ((_, text),) = made.load
    assert "dataset: mine_00000,mine_00001\neval_dataset: mine_validation\n" in text
    assert "cutoff_len: 10240" in text


@pytest.mark.parametrize(
    ("purpose", "has_reasoning", "is_quiet"),
    [
        ("sft", True, True),
        ("kto", True, True),
        ("dpo", False, True),
        ("dpo", True, False),  # one side may have thoughts, and the other none
        ("rl", False, False),  # PPO asks for answers behind it
    ],
)
def test_no_thought_is_trained_on_that_the_model_did_not_have(
    purpose: Any, has_reasoning: bool, is_quiet: bool
) -> None:
    files = {"train": ["data/a.jsonl"]}
    made = guide(Written(purpose, "mine", "data", files, True, has_reasoning, 30_000))
    ((_, text),) = made.load
    assert ("enable_thinking" in yaml.safe_load(text)) == is_quiet
    assert yaml.safe_load(text).get("enable_thinking") is None
    about_prompts = any("preserve_thinking: true" in note for note in made.notes)
    assert about_prompts == (has_reasoning and purpose != "sft")
