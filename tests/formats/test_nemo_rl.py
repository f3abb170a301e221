"""The format `nemo_rl`."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from omegaconf import OmegaConf

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.nemo_rl import HEAD, guide, nemo_rl, with_tools
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable
from tests.formats.conversations import ACTED, PROMPT, TOOLS

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")
WRONG = Message("assistant", "5")
REQUEST = Raw(b'{"input":"2+2?","temperature":1.00}')


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(nemo_rl(example)))


def task(**more: Any) -> Example:
    return Example("rl", (b"",), {}, prompt=[ASKED], **{"request": REQUEST, "agent": "a"} | more)


def test_a_demonstration_has_its_tools_as_a_list() -> None:
    found = plain(Example("sft", (b"",), {}, prompt=PROMPT, completion=ACTED, tools=TOOLS))
    assert found == {"messages": msgspec.to_builtins([*PROMPT, *ACTED]), "tools": TOOLS}


def test_a_demonstration_without_tools_has_null_among_others() -> None:
    found = plain(Example("sft", (b"",), {}, prompt=[ASKED], completion=[SAID], tools=[]))
    assert found["tools"] is None


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
def test_a_pair_is_a_context_and_the_better_completion_first(purpose: Any) -> None:
    pair = Example(purpose, (), {}, prompt=[ASKED], chosen=[SAID], rejected=[WRONG], margin=1.0)
    assert plain(pair) == {
        "context": [{"role": "user", "content": "2+2?"}],
        "completions": [
            {"rank": 0, "completion": [{"role": "assistant", "content": "4"}]},
            {"rank": 1, "completion": [{"role": "assistant", "content": "5"}]},
        ],
    }


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
@pytest.mark.parametrize("side", ["prompt", "chosen", "rejected"])
def test_numbers_that_stop_its_loader_of_pairs_are_refused(purpose: Any, side: str) -> None:
    call = ToolCall(id="a", function=Function("f", {"x": [2**64]}))
    example = Example(purpose, (), {}, prompt=[ASKED], chosen=[SAID], rejected=[WRONG])
    setattr(example, side, [Message("assistant", "", tool_calls=[call])])
    with pytest.raises(Unusable, match="number_too_wide"):
        nemo_rl(example)
    said = [Message("assistant", "", tool_calls=[call])]
    assert nemo_rl(Example("sft", (), {}, prompt=[ASKED], completion=said))


def test_pairs_part_at_one_answer_only() -> None:
    assert FORMATS["nemo_rl"].pairs_at == ("decision",)


def test_the_tools_of_a_pair_end_the_system_message() -> None:
    (system, asked) = with_tools(PROMPT, TOOLS)
    before, after = system.content.split(f"\n\n{HEAD}\n")
    assert before == "Be brief."
    lines = after.split("\n")
    assert [json.loads(line) for line in lines[1:-1]] == TOOLS
    assert (lines[0], lines[-1]) == ("<tools>", "</tools>")
    assert asked == PROMPT[1]


def test_the_prompt_that_it_was_made_of_stays() -> None:
    with_tools(PROMPT, TOOLS)
    assert PROMPT[0].content == "Be brief."


def test_tools_make_a_system_message_where_there_is_none() -> None:
    (system, asked) = with_tools([ASKED], TOOLS)
    assert (system.role, asked) == ("system", ASKED)


@pytest.mark.parametrize("tools", [None, []])
def test_without_tools_the_prompt_is_what_it_was(tools: Any) -> None:
    assert with_tools(PROMPT, tools) is PROMPT


def test_a_task_is_a_line_of_nemo_gym_with_the_request_as_it_stood() -> None:
    text = msgspec.json.encode(nemo_rl(task(verifier={"expected_answer": Raw(b"4.0")})))
    assert text == (
        b'{"responses_create_params":{"input":"2+2?","temperature":1.00},'
        b'"agent_ref":{"type":"responses_api_agents","name":"a"},"expected_answer":4.0}'
    )


def test_a_field_of_the_verifier_stands_before_a_column_of_that_name() -> None:
    example = task(verifier={"category": Raw(b'"theirs"')})
    example.values = {"category": "ours", "success_rate": 0.5}
    found = plain(example)
    assert (found["category"], found["success_rate"]) == ("theirs", 0.5)


@pytest.mark.parametrize(
    ("lacks", "reason"), [({"request": Raw(b"null")}, "no_request"), ({"agent": None}, "no_agent")]
)
def test_a_task_that_cannot_be_asked_again_is_refused(lacks: Any, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        nemo_rl(task(**lacks))


@pytest.mark.parametrize(
    ("purpose", "wanted"),
    [
        ("sft", ["openai_format", "use_preserving_dataset: true", "sft_processor"]),
        ("dpo", ["dataset_name: PreferenceDataset"]),
        ("reward_model", ["dataset_name: PreferenceDataset"]),
        ("rl", ["NemoGymDataset", "nemo_gym_data_processor"]),
    ],
)
def test_the_guide_is_the_data_part_of_its_config(purpose: Any, wanted: list[str]) -> None:
    files = {"train": ["data/train.jsonl"], "validation": ["data/validation.jsonl"]}
    made = guide(Written(purpose, "mine", "data", files, True, False, 30_000))
    ((_, text),) = made.load
    assert all(word in text for word in [*wanted, "data/train.jsonl", "data/validation.jsonl"])


BASE = {
    "policy": {"max_total_sequence_length": 1024},
    "data": {
        "max_input_seq_length": "${policy.max_total_sequence_length}",
        "train": {"dataset_name": "HelpSteer3", "split": "train"},
        "validation": {"dataset_name": "HelpSteer3", "split": "validation"},
    },
}
"""What the guide is written over: the example configs have data sets of their own."""


def over_the_example(purpose: Any, **files: list[str]) -> Any:
    """Its config with the lines of the guide over it, merged as NeMo RL merges them."""
    ((_, text),) = guide(Written(purpose, "mine", "data", files, True, False, 30_000)).load
    return OmegaConf.to_container(OmegaConf.merge(BASE, OmegaConf.create(text)), resolve=True)


def test_the_guide_leaves_no_data_set_of_the_example_config() -> None:
    made = over_the_example("dpo", train=["data/train.jsonl"], validation=["data/validation.jsonl"])
    for split in ("train", "validation"):
        entry = made["data"][split] | {"data_path": ""}
        assert entry == {"dataset_name": "PreferenceDataset", "data_path": "", "split": "train"}


@pytest.mark.parametrize(
    ("purpose", "section"), [("sft", "sft"), ("dpo", "dpo"), ("reward_model", "rm"), ("rl", "grpo")]
)
def test_without_held_out_rows_nothing_is_validated(purpose: Any, section: str) -> None:
    made = over_the_example(purpose, train=["data/train.jsonl"])
    assert made["data"]["validation"] is None
    assert made[section] == {"val_period": 0, "val_at_start": False, "val_at_end": False}


def test_the_guide_gives_the_policy_the_length_of_the_rows() -> None:
    made = over_the_example("sft", train=["data/train.jsonl"])
    assert made["policy"]["max_total_sequence_length"] == 10_240
    assert made["data"]["max_input_seq_length"] == 10_240


def test_the_guide_warns_of_shards() -> None:
    files = {"train": ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"]}
    made = guide(Written("sft", "mine", "data", files, True, False, 30_000))
    assert any("one file a split" in note for note in made.notes)


@pytest.mark.parametrize("purpose", ["sft", "dpo", "reward_model"])
def test_the_guide_tells_what_the_template_must_keep(purpose: Any) -> None:
    made = guide(Written(purpose, "mine", "data", {"train": ["data/a.jsonl"]}, True, False, 30_000))
    assert any("policy.tokenizer.chat_template" in note for note in made.notes)
