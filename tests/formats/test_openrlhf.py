"""The format `openrlhf`."""

from __future__ import annotations

import json
import shlex
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gymrecipe.formats import rendered
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.openrlhf import guide, openrlhf
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Message, Unusable
from tests.formats.conversations import ACTED, TOOLS

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")
WRONG = Message("assistant", "5")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(openrlhf(example)))


def test_a_demonstration_is_the_whole_conversation_as_input() -> None:
    found = plain(Example("sft", (), {"reward": 1.0}, prompt=[ASKED], completion=[SAID]))
    assert found == {"input": msgspec.to_builtins([ASKED, SAID]), "reward": 1.0}


def test_a_pair_has_lists_and_a_margin_for_a_reward_model_only() -> None:
    sides = {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG], "margin": 1.0}
    assert list(openrlhf(Example("dpo", (), {}, **sides))) == ["prompt", "chosen", "rejected"]
    assert openrlhf(Example("reward_model", (), {}, **sides))["margin"] == 1.0


def test_messages_of_a_pair_have_the_same_keys_whatever_beside_their_texts() -> None:
    kept = Message("assistant", "4", generation_token_ids=[7])
    sides = {
        "prompt": [Message("user", "Hi.", name="Ann"), kept, ASKED],
        "chosen": [kept],
        "rejected": [WRONG],
    }
    found = plain(Example("dpo", (), {}, **sides))
    assert all(turn.keys() == {"role", "content"} for side in found.values() for turn in side)


def test_a_task_has_the_fields_of_its_verifier_as_label() -> None:
    verifier = {"answer": Raw(b'"4"'), "n": Raw(b"1.50")}
    found = plain(Example("rl", (), {}, prompt=[ASKED], verifier=verifier, agent="a"))
    assert found == {
        "input": [{"role": "user", "content": "2+2?"}],
        "label": '{"answer":"4","n":1.50}',
        "datasource": "a",
    }


def test_a_task_of_no_agent_is_of_the_default_source() -> None:
    assert plain(Example("rl", (), {}, prompt=[ASKED]))["datasource"] == "default"


def test_tools_are_refused() -> None:
    with pytest.raises(Unusable, match="no_form_for_tools"):
        openrlhf(Example("sft", (), {}, prompt=[ASKED], completion=[SAID], tools=TOOLS))


def test_calls_are_refused_where_no_schema_describes_them() -> None:
    with pytest.raises(Unusable, match="no_form_for_tools"):
        openrlhf(Example("dpo", (), {}, prompt=[ASKED], chosen=[SAID], rejected=ACTED))


def test_a_dataset_with_tools_still_has_rows_without() -> None:
    assert "tools" not in plain(Example("sft", (), {}, prompt=[ASKED], completion=[SAID], tools=[]))


def test_a_text_that_is_taken_for_a_picture_is_refused_in_prompts() -> None:
    shown = Message("user", "what does <image> mean in HTML?")
    with pytest.raises(Unusable, match="picture_tag"):
        openrlhf(Example("rl", (), {}, prompt=[shown]))
    assert openrlhf(Example("sft", (), {}, prompt=[shown], completion=[SAID]))["input"][0] == shown


@pytest.mark.parametrize("purpose", FORMATS["openrlhf"].purposes)
def test_the_guide_names_the_command_and_its_keys(purpose: Any) -> None:
    files = {"train": ["data/train.jsonl"]}
    made = guide(Written(purpose, "mine", "data", files, False, False, 30_000))
    ((_, text),) = made.load
    command = {"sft": "train_sft", "dpo": "train_dpo", "reward_model": "train_rm"}
    assert command.get(purpose, "train_ppo_ray") in text
    assert "data/train.jsonl" in text
    assert "--data.apply_chat_template" in text


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
def test_thoughts_beside_the_text_are_refused_in_pairs(purpose: Any) -> None:
    thought = Message("assistant", "4", reasoning_content="Two and two.")
    with pytest.raises(Unusable, match="reasoning_beside_text"):
        openrlhf(Example(purpose, (), {}, prompt=[ASKED], chosen=[thought], rejected=[WRONG]))


def options(command: str) -> dict[str, str]:
    """The options of a command that have a value."""
    words = shlex.split(command)
    pairs = zip(words, [*words[1:], "--"], strict=True)
    return {a[2:]: b for a, b in pairs if a.startswith("--") and not b.startswith("--")}


@pytest.mark.parametrize("purpose", FORMATS["openrlhf"].purposes)
@pytest.mark.parametrize("guide", [guide, rendered.guide])
@pytest.mark.parametrize(
    ("train", "named", "held_out"),
    [
        (["data/a.jsonl"], "data/a.jsonl", ("data/c.jsonl", "train")),
        (["data/a.jsonl", "data/b.jsonl"], "data", ("data", "validation")),
    ],
)
def test_the_command_names_the_file_or_the_folder_of_its_shards(
    purpose: Any, guide: Any, train: list[str], named: str, held_out: tuple[str, str]
) -> None:
    files = {"train": train, "validation": ["data/c.jsonl"]}
    made = guide(Written(purpose, "mine", "data", files, False, False, 30_000))
    found = options(made.load[-1][1])
    kind = "prompt_dataset" if purpose == "rl" else "dataset"
    assert found[f"data.{kind}"] == named
    assert (found["eval.dataset"], found["eval.split"]) == held_out
    assert found.get("data.max_len") == (None if purpose == "rl" else "10240")


def test_rendered_prompts_are_not_put_into_a_template_of_openrlhf() -> None:
    files = {"train": ["data/a.jsonl"]}
    made = rendered.guide(Written("sft", "mine", "data", files, False, False, 30_000))
    assert options(made.load[-1][1])["data.input_template"] == ""
