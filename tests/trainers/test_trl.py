"""TRL's trainers take one step on what gymrecipe writes, and train on what was said and no more.

The labels are decoded and held against the conversations of the source lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from datasets import Dataset, load_dataset
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

import gymrecipe
from gymrecipe.rollouts.chat import Conversation, Message
from gymrecipe.rollouts.messages import conversation
from gymrecipe.rollouts.sides import part

OPENING = "<|im_start|>assistant\n"
PLAIN: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "save_strategy": "no",
    "max_steps": 1,
    "per_device_train_batch_size": 2,
}
WRITE = "write: {use: write, purpose: %s, format: %s, missing_tools: keep}"
PAIR = "pair: {use: pair, strategy: best_vs_worst, min_gap: 0.1}"


@dataclass
class Wrote:
    """What a version has, as TRL loads it, and the source lines of each row."""

    data: Dataset
    lines: list[list[bytes]]


@pytest.fixture
def write(rollouts: Path, tmp_path: Path) -> Any:
    """A function that runs a recipe of these stages on the rollouts and loads its data."""

    def wrote(purpose: str, format: str, *stages: str) -> Wrote:
        made = ["load: {use: load, input: '${input}'}", *stages, WRITE % (purpose, format)]
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text("stages:\n" + "".join(f"  {stage}\n" for stage in made))
        version = gymrecipe.run(recipe, input=str(rollouts), output_dir=str(tmp_path / "out"))
        assert version.path is not None
        file = version.path / "data" / "train.jsonl"
        cache = str(tmp_path / "cache")
        data = load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
        used = pl.read_parquet(version.path / "used.parquet").sort("row", "side", "line")
        text = rollouts.read_bytes()
        lines: list[list[bytes]] = [[] for _ in range(used["row"].max() + 1)]  # type: ignore[operator]
        for row, start, size in used.select("row", "offset", "bytes").iter_rows():
            lines[row].append(text[start : start + size])
        assert len(data) == len(lines)
        return Wrote(data, lines)

    return wrote


@pytest.fixture
def args(tmp_path: Path) -> dict[str, Any]:
    return PLAIN | {"output_dir": str(tmp_path / "trained")}


def said(message: Message) -> str:
    """What the model wrote in one turn, by the template of the tests, without jinja."""
    text = message.content
    if message.reasoning_content is not None:
        text = f"<think>\n{message.reasoning_content}\n</think>\n{text}"
    for call in message.tool_calls or []:
        name, arguments = call.function.name, call.function.arguments
        inner = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        text += f"\n<tool_call>\n{inner}\n</tool_call>"
    return f"{text}<|im_end|>"


def shown(messages: list[Message], tools: list[dict[str, Any]]) -> str:
    text = ""
    if tools:
        schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        text = f"<|im_start|>tools\n{schemas}\n<|im_end|>\n"
    for turn in messages:
        inner = said(turn) if turn.role == "assistant" else f"{turn.content}<|im_end|>"
        text += f"<|im_start|>{turn.role}\n{inner}\n"
    return text


def trained(tokenizer: Any, row: dict[str, Any]) -> str:
    return str(tokenizer.decode([id for id in row["labels"] if id != -100]))


def test_the_rollouts_have_calls_thoughts_and_several_tools(spoken: list[Conversation]) -> None:
    turns = [turn for one in spoken for turn in one.completion]
    assert sum(len(turn.tool_calls or []) for turn in turns) > 100
    assert any(len(turn.tool_calls or []) > 1 for turn in turns)
    assert any(turn.reasoning_content for turn in turns)
    assert len({msgspec.json.encode(one.tools) for one in spoken}) > 5


def test_sft_trains_on_what_the_assistant_said(
    write: Any, lines: list[bytes], model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    wrote = write("sft", "trl")
    assert len(wrote.data) == len(lines)
    trainer = SFTTrainer(
        str(model),
        SFTConfig(**args, max_length=None, assistant_only_loss=True),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    for row, (line,) in zip(trainer.train_dataset, wrote.lines, strict=True):
        one = conversation(line)
        turns = [*one.prompt, *one.completion]
        assert tokenizer.decode(row["input_ids"]) == shown(turns, one.tools)
        answers = [said(turn) for turn in turns if turn.role == "assistant"]
        assert trained(tokenizer, row) == "".join(answers)
    assert trainer.train().training_loss > 0


def test_sft_with_a_prompt_trains_on_the_completion(
    write: Any, model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    wrote = write("sft", "trl_prompt_completion")
    trainer = SFTTrainer(
        str(model),
        SFTConfig(**args, max_length=None, assistant_only_loss=True),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    for row, (line,) in zip(trainer.train_dataset, wrote.lines, strict=True):
        one = conversation(line)
        whole = shown([*one.prompt, *one.completion], one.tools)
        assert tokenizer.decode(row["input_ids"]) == whole
        answers = [said(turn) for turn in one.completion if turn.role == "assistant"]
        assert trained(tokenizer, row) == "".join(answers)
    assert trainer.train().training_loss > 0


@pytest.mark.parametrize("at", ["trajectory", "decision"])
def test_dpo_trains_on_both_sides_from_where_they_part(
    at: Any, write: Any, model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    wrote = write("dpo", f"trl, pairs_at: {at}", PAIR)
    assert len(wrote.data) > 50
    trainer = DPOTrainer(
        str(model),
        args=DPOConfig(**args, max_length=None),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    for row, sides in zip(trainer.train_dataset, wrote.lines, strict=True):
        chosen, rejected = map(conversation, sides)
        prompt, better, worse = part(chosen, rejected, at)
        text = shown(prompt, chosen.tools) + OPENING
        assert tokenizer.decode(row["prompt_ids"]) == text
        for side, ids in ((better, row["chosen_ids"]), (worse, row["rejected_ids"])):
            assert text + tokenizer.decode(ids) == shown([*prompt, *side], chosen.tools)
    assert trainer.train().training_loss > 0


def test_kto_trains_on_the_completion_and_its_label(
    write: Any, model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    wrote = write("kto", "trl", "label: {use: label, high: 0.7, low: 0.4}")
    trainer = KTOTrainer(
        str(model),
        args=KTOConfig(**args, max_length=None),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    for row, (line,) in zip(trainer.train_dataset, wrote.lines, strict=True):
        one = conversation(line)
        prompt = shown(one.prompt, one.tools) + OPENING
        whole = shown([*one.prompt, *one.completion], one.tools)
        assert tokenizer.decode(row["prompt_ids"]) == prompt
        assert prompt + tokenizer.decode(row["completion_ids"]) == whole
        assert row["label"] is (json.loads(line)["reward"] >= 0.7)
    assert trainer.train().training_loss > 0


def test_a_reward_model_reads_both_sides_and_the_margin(
    write: Any, model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    from transformers import AutoModelForSequenceClassification

    wrote = write("reward_model", "trl", PAIR)
    trainer = RewardTrainer(
        AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        args=RewardConfig(**args, max_length=None),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    for row, sides in zip(trainer.train_dataset, wrote.lines, strict=True):
        for line, ids in zip(sides, (row["chosen_ids"], row["rejected_ids"]), strict=True):
            one = conversation(line)
            assert tokenizer.decode(ids) == shown([*one.prompt, *one.completion], one.tools)
        better, worse = (json.loads(line)["reward"] for line in sides)
        # `datasets` rounds to ten decimals.
        assert row["margin"] == pytest.approx(better - worse, abs=1e-10)
    assert trainer.train().training_loss > 0


def test_grpo_hands_the_verifier_to_the_reward_function(
    write: Any, model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    wrote = write("rl", "trl", "tasks: {use: tasks}")
    seen: list[Any] = []

    def reward(prompts: Any, completions: Any, verifier: list[str], **_: Any) -> list[float]:
        seen.extend(zip(prompts, verifier, strict=True))
        return [float(i) for i in range(len(completions))]

    trainer = GRPOTrainer(
        str(model),
        reward,
        args=GRPOConfig(**args, num_generations=2, max_completion_length=8),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    trainer.train()
    assert seen
    prompts = [
        (msgspec.to_builtins(conversation(found[0]).prompt), json.loads(found[0]))
        for found in wrote.lines
    ]
    for prompt, verifier in seen:
        fields = [line for turns, line in prompts if turns == prompt]
        assert any(json.loads(verifier).items() <= line.items() for line in fields)


def test_rendered_text_trains_on_the_same_tokens(
    write: Any, model: Path, tokenizer: Any, args: dict[str, Any]
) -> None:
    wrote = write("sft", f"rendered, tokenizer: '{model}'")
    trainer = SFTTrainer(
        str(model),
        SFTConfig(**args, max_length=None),
        train_dataset=wrote.data,
        processing_class=tokenizer,
    )
    for row, (line,) in zip(trainer.train_dataset, wrote.lines, strict=True):
        one = conversation(line)
        whole = shown([*one.prompt, *one.completion], one.tools).removesuffix("\n")
        assert tokenizer.decode(row["input_ids"]) == whole
        prompt = shown(one.prompt, one.tools) + OPENING
        assert prompt + trained(tokenizer, row) == whole
    assert trainer.train().training_loss > 0
