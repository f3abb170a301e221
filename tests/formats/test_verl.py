"""The format `verl`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import polars as pl
import pytest
from msgspec import Raw

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.parquet import to_parquet
from gymrecipe.formats.template_sandbox import environment
from gymrecipe.formats.verl import DATASET, guide, verl
from gymrecipe.rollouts.chat import Message, Unusable
from tests.formats.conversations import ACTED, PROMPT, TOOLS

ASKED, SAID = Message("user", "2+2?"), Message("assistant", "4")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(verl(example)))


def guided(purpose: Any, *train: str, has_reasoning: bool = False) -> Any:
    files = {"train": list(train) or ["data/train.parquet"]}
    return guide(Written(purpose, "mine", "data", files, True, has_reasoning, 30_000))


def test_a_demonstration_is_json_text() -> None:
    found = plain(Example("sft", (), {"reward": 1.0}, PROMPT, ACTED, tools=TOOLS))
    assert json.loads(found["messages"]) == msgspec.to_builtins([*PROMPT, *ACTED])
    assert json.loads(found["tools"]) == TOOLS
    assert found["reward"] == 1.0


def test_a_row_without_tools_has_an_empty_list_where_others_have_some() -> None:
    assert plain(Example("sft", (), {}, [ASKED], [SAID], tools=[]))["tools"] == "[]"
    assert "tools" not in plain(Example("sft", (), {}, [ASKED], [SAID]))


def test_a_reward_model_row_is_three_texts() -> None:
    found = plain(Example("reward_model", (), {}, [ASKED], chosen=[SAID], rejected=[SAID]))
    assert found == {"prompt": "2+2?", "chosen": "4", "rejected": "4"}


@pytest.mark.parametrize(
    ("prompt", "answer", "tools"),
    [(PROMPT, [SAID], None), ([ASKED], ACTED, None), ([ASKED], [SAID], TOOLS)],
)
def test_what_a_template_would_have_to_render_is_refused(
    prompt: list[Message], answer: list[Message], tools: Any
) -> None:
    with pytest.raises(Unusable, match="needs_template"):
        verl(Example("reward_model", (), {}, prompt, chosen=answer, rejected=[SAID], tools=tools))


def test_an_answer_with_token_ids_is_a_text_all_the_same() -> None:
    kept = Message("assistant", "4", generation_token_ids=[7, 8])
    found = plain(Example("reward_model", (), {}, [ASKED], chosen=[kept], rejected=[SAID]))
    assert found["chosen"] == "4"


def test_a_prompt_has_what_the_rl_trainer_and_its_reward_function_read() -> None:
    example = Example("rl", (), {"rate": 0.5}, PROMPT, tools=TOOLS, index=7, split="validation")
    example.agent, example.verifier = "math", {"expected_answer": Raw(b'"4"')}
    found = plain(example)
    tools = found["extra_info"].pop("tools")
    assert json.loads(tools) == TOOLS
    assert found == {
        "data_source": "math",
        "prompt": msgspec.to_builtins(PROMPT),
        "ability": "tool_use",
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {
            "index": 7,
            "split": "validation",
            "verifier": '{"expected_answer":"4"}',
            "tool_selection": ["find", "now"],
        },
        "agent_name": "tool_agent",
        "rate": 0.5,
    }


def test_prompts_are_true_structs_in_parquet_without_a_null(tmp_path: Path) -> None:
    rows = [
        Example("rl", (), {}, PROMPT, tools=tools, index=i) for i, tools in enumerate([TOOLS, []])
    ]
    lines = b"".join(msgspec.json.encode(verl(row)) + b"\n" for row in rows)
    (tmp_path / "a.jsonl").write_bytes(lines)
    to_parquet(tmp_path / "a.jsonl", tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet").to_dicts() == [plain(row) for row in rows]


def test_calls_and_thoughts_in_a_prompt_are_refused() -> None:
    with pytest.raises(Unusable, match="reasoning_beside_text"):
        verl(Example("rl", (), {}, [*PROMPT, *ACTED, ASKED]))
    quiet = [msgspec.structs.replace(ACTED[0], reasoning_content=None), *ACTED[1:]]
    with pytest.raises(Unusable, match="calls_in_prompt"):
        verl(Example("rl", (), {}, [*PROMPT, *quiet, ASKED]))


def test_the_guide_ships_the_dataset_class_that_it_names() -> None:
    made = guided("sft")
    ((_, command),) = made.load
    assert "data.custom_cls.path=data/verl_dataset.py" in command
    (name,) = (word for word in command.split() if word.startswith("data.custom_cls.name="))
    assert f"class {name.partition('=')[2]}(" in made.files["verl_dataset.py"]
    compile(made.files["verl_dataset.py"], "verl_dataset.py", "exec")


QWEN_3 = """\
{%- set last = namespace(user=-1) %}
{%- for m in messages if m.role == "user" %}{% set last.user = messages.index(m) %}{% endfor %}
{%- for m in messages %}
{{- "<" + m.role + ">" }}
{%- if m.role == "assistant" and loop.index0 > last.user and (loop.last or m.reasoning_content) %}
{{- "<think>" + (m.reasoning_content or "") + "</think>" }}
{%- endif %}
{{- m.content + ("<call>" if m.tool_calls else "") + "<end>" }}
{%- endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""
"""The thoughts that Qwen 3 prints: those behind the last question; and some in the last answer."""

CALLS = {"role": "assistant", "content": "", "tool_calls": [{}]}
FIRST, SECOND = ({"role": "user", "content": text} for text in ("q1", "q2"))


def says(text: str, thought: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "reasoning_content": thought}


def cut(monkeypatch: pytest.MonkeyPatch, messages: list[Any]) -> tuple[str, list[Any]]:
    """How the dataset class that is shipped cuts what this template makes of the messages."""
    template = environment().from_string(QWEN_3)

    def apply_chat_template(_: Any, tokenize: bool, **more: Any) -> str:
        return template.render(more)

    for name, content in {
        "torch": {},
        "verl.utils.dataset.multiturn_sft_dataset": {"MultiTurnSFTDataset": object},
        "verl.utils.tokenizer.chat_template": {"apply_chat_template": apply_chat_template},
    }.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    made: dict[str, Any] = {}
    exec(DATASET.read_text(), made)
    dataset = made["JsonTextSFTDataset"]()
    dataset.apply_chat_template_kwargs, dataset.processor, dataset.tokenizer = {}, None, object()
    header, texts = dataset._cut(messages, None, None)
    assert "".join(before + answer for before, answer in texts) == template.render(
        messages=messages
    )
    return header, [answer for _, answer in texts if answer]


@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        ([FIRST, says("a1")], ["<think></think>a1"]),
        ([FIRST, says("a1"), SECOND, says("a2")], ["a1", "<think></think>a2"]),
        ([FIRST, says("a1", "T1"), SECOND, says("a2", "T2")], ["a1", "<think>T2</think>a2"]),
        (
            [FIRST, CALLS, {"role": "tool", "content": "1"}, says("a1", "T")],
            ["<call>", "<think>T</think>a1"],
        ),
        (
            [
                FIRST,
                CALLS | {"reasoning_content": "T"},
                {"role": "tool", "content": "1"},
                says("a"),
            ],
            ["<think>T</think><call>", "<think></think>a"],
        ),
    ],
)
def test_answers_are_trained_as_they_stand_in_the_whole_conversation(
    monkeypatch: pytest.MonkeyPatch, messages: Any, answers: list[str]
) -> None:
    header, found = cut(monkeypatch, messages)
    assert header == "<assistant>"
    assert found == [f"<assistant>{answer}<end>" for answer in answers]


def test_an_answer_that_is_not_where_it_was_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"messages\[2\]"):
        cut(monkeypatch, [FIRST, says("a1"), says("a2")])


def test_several_files_are_a_list_that_the_shell_leaves_alone() -> None:
    ((_, command),) = guided("rl", "data/a.parquet", "data/b.parquet").load
    assert "data.train_files='[data/a.parquet,data/b.parquet]'" in command


def test_prompts_have_a_validation_file_without_which_the_trainer_does_not_start() -> None:
    ((_, command),) = guided("rl", "data/train.parquet").load
    assert "data.val_files=data/train.parquet" in command
    assert "trainer.val_before_train=False" in command


@pytest.mark.parametrize("purpose", ["sft", "reward_model", "rl"])
def test_the_guide_gives_a_length_that_cuts_nothing(purpose: Any) -> None:
    ((_, text),) = guided(purpose).load
    assert "10240" in text


def test_the_guide_says_which_thoughts_are_trained() -> None:
    assert any("earlier rounds" in note for note in guided("sft", has_reasoning=True).notes)
    assert any("enable_thinking_default=False" in note for note in guided("sft").notes)
