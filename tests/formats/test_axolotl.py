"""The format `axolotl`."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import yaml

from gymrecipe.formats.axolotl import axolotl, guide
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable
from tests.formats.conversations import ACTED, PROMPT, TOOLS

ASKED, SAID = Message("user", "2+2?"), Message("assistant", "4")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(axolotl(example)))


def guided(purpose: Any, **files: list[str]) -> Any:
    files = files or {"train": ["data/train.jsonl"]}
    return guide(Written(purpose, "mine", "data", files, True, False, 30_000))


def test_a_demonstration_has_arguments_and_tools_as_json_text() -> None:
    found = plain(Example("sft", (), {"reward": 1.0}, PROMPT, ACTED, tools=TOOLS))
    arguments = found["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"q": "é", "n": 1e22, "w": 2**53 + 1, "x": None}
    assert json.loads(found["tools"]) == TOOLS
    assert found["reward"] == 1.0


def test_a_pair_has_arguments_as_objects_for_trl() -> None:
    found = plain(Example("dpo", (), {}, PROMPT, chosen=ACTED, rejected=[SAID], tools=TOOLS))
    assert found["chosen"][0]["tool_calls"][1]["function"]["arguments"] == {}
    assert json.loads(found["tools"]) == TOOLS
    assert list(found)[:3] == ["prompt", "chosen", "rejected"]


def test_a_labelled_completion_keeps_its_boolean() -> None:
    found = plain(Example("kto", (), {}, [ASKED], [SAID], label=True))
    assert found["label"] is True


@pytest.mark.parametrize("purpose", ["sft", "dpo", "kto"])
def test_a_row_without_tools_has_null_among_others(purpose: Any) -> None:
    assert plain(Example(purpose, (), {}, [ASKED], [SAID], tools=[]))["tools"] is None


@pytest.mark.parametrize("side", ["prompt", "chosen", "rejected"])
def test_numbers_that_stop_the_loader_are_refused_in_pairs(side: str) -> None:
    call = ToolCall(id="a", function=Function("f", {"x": 2**64}))
    example = Example("dpo", (), {}, [ASKED], chosen=[SAID], rejected=[SAID])
    setattr(example, side, [Message("assistant", "", tool_calls=[call])])
    with pytest.raises(Unusable, match="number_too_wide"):
        axolotl(example)


def test_a_reward_model_row_is_a_question_and_two_answers() -> None:
    found = plain(Example("reward_model", (), {}, PROMPT, chosen=[SAID], rejected=[SAID]))
    assert found == {"system": "Be brief.", "input": "Where?", "chosen": "4", "rejected": "4"}
    none = plain(Example("reward_model", (), {}, [ASKED], chosen=[SAID], rejected=[SAID]))
    assert none["system"] == ""


@pytest.mark.parametrize(
    ("prompt", "answer", "tools"),
    [([ASKED, SAID, ASKED], [SAID], None), ([ASKED], ACTED, None), ([ASKED], [SAID], TOOLS)],
)
def test_longer_ones_and_tools_are_refused_for_reward_models(
    prompt: list[Message], answer: list[Message], tools: Any
) -> None:
    with pytest.raises(Unusable, match="needs_template"):
        axolotl(
            Example("reward_model", (), {}, prompt, chosen=answer, rejected=[SAID], tools=tools)
        )


def test_an_answer_with_token_ids_is_a_text_all_the_same() -> None:
    kept = Message("assistant", "4", generation_token_ids=[7, 8])
    found = plain(Example("reward_model", (), {}, [ASKED], chosen=[kept], rejected=[SAID]))
    assert found["chosen"] == "4"


@pytest.mark.parametrize("purpose", ["sft", "dpo", "kto", "reward_model"])
def test_the_block_is_yaml_and_a_file_beside_the_data(purpose: Any) -> None:
    made = guided(purpose)
    ((language, text),) = made.load
    assert language == "yaml"
    assert yaml.safe_load(made.files["axolotl.yaml"]) == yaml.safe_load(text)
    assert yaml.safe_load(text)["sequence_len"] == 10240


def test_pairs_go_to_trl_without_a_type() -> None:
    block = yaml.safe_load(guided("dpo").files["axolotl.yaml"])
    assert block["rl"] == "dpo"
    assert block["skip_prepare_dataset"] is True
    assert block["datasets"] == [{"path": "data/train.jsonl", "ds_type": "json", "split": "train"}]


def test_shards_are_one_dataset_and_validation_is_the_test_set() -> None:
    made = guided("sft", train=["data/a.jsonl", "data/b.jsonl"], validation=["data/v.jsonl"])
    block = yaml.safe_load(made.files["axolotl.yaml"])
    (entry,) = block["datasets"]
    assert entry["path"] == "data"
    assert entry["data_files"] == ["data/a.jsonl", "data/b.jsonl"]
    assert block["test_datasets"][0]["path"] == "data/v.jsonl"
    assert block["test_datasets"][0]["field_tools"] == "tools"
