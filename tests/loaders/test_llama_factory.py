"""LLaMA-Factory's own loader reads what the format `llama_factory` wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("transformers")
sys.modules.setdefault("torchaudio", ModuleType("torchaudio"))  # imported, and of no use for text
pytest.importorskip("llamafactory")

STAGES = {"sft": "sft", "dpo": "rm", "kto": "kto", "reward_model": "rm", "rl": "ppo"}
REFUSED = {"turns_do_not_alternate", "format_markers"}


def load(
    folder: Path, stage: str, tokenizer: Any, name: str = "made", out: Path | None = None
) -> Any:
    """The rows of the training set, by the dataset_info.json beside the data."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    data = DataArguments(
        template="qwen",
        dataset=name,
        dataset_dir=str(folder / "data"),
        cutoff_len=10**6,
        overwrite_cache=True,
    )
    template = get_template_and_fix_tokenizer(tokenizer, data)
    training = Seq2SeqTrainingArguments(str((out or folder) / "out"), use_cpu=True)
    model = ModelArguments(model_name_or_path="none", cache_dir=str((out or folder) / "cache"))
    return get_dataset(template, model, data, training, stage, tokenizer=tokenizer)["train_dataset"]


DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def test_sft_rows_are_the_conversations(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    data = write("llama_factory", "sft", lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.folder, "sft", tokenizer)
    assert len(rows) == len(data.examples)
    for row, example in zip(rows, data.examples, strict=True):
        messages = [*example.prompt, *example.completion]
        options = {"tools": example.tools, "default_system": DEFAULT}
        assert tokenizer.decode(row["input_ids"]) == render(messages, **options)
        assert trained(row["input_ids"], row["labels"]) == answers(messages, **options)


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
def test_pairs_are_the_two_messages_at_the_decision(
    purpose: Any,
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    data = write("llama_factory", purpose, lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.folder, "rm", tokenizer)
    assert len(rows) == len(data.examples)
    for row, example in zip(rows, data.examples, strict=True):
        for side, answer in (("chosen", example.chosen), ("rejected", example.rejected)):
            messages = [*example.prompt, *answer]
            options = {"tools": example.tools, "default_system": DEFAULT}
            ids, labels = row[f"{side}_input_ids"], row[f"{side}_labels"]
            assert tokenizer.decode(ids) == render(messages, **options)
            assert trained(ids, labels) == answers(messages, len(example.prompt), **options)


def test_kto_rows_train_the_last_message_and_keep_the_label(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    data = write("llama_factory", "kto", lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.folder, "kto", tokenizer)
    assert len(rows) == len(data.examples)
    for row, example in zip(rows, data.examples, strict=True):
        messages = [*example.prompt, *example.completion]
        options = {"tools": example.tools, "default_system": DEFAULT}
        assert row["kto_tags"] is example.label
        assert tokenizer.decode(row["input_ids"]) == render(messages, **options)
        last = len(messages) - 1
        assert trained(row["input_ids"], row["labels"]) == answers(messages, last, **options)


def test_rl_rows_are_the_prompts(
    lines: list[bytes], write: Any, tokenizer: Any, render: Callable[..., str]
) -> None:
    data = write("llama_factory", "rl", lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.folder, "ppo", tokenizer)
    assert len(rows) == len(data.examples)
    for row, example in zip(rows, data.examples, strict=True):
        options = {"tools": example.tools, "default_system": DEFAULT}
        asked = render(example.prompt, add_generation_prompt=True, **options)
        assert tokenizer.decode(row["input_ids"]) == asked


def test_shards_and_splits_have_an_entry_each(write: Any, tmp_path: Path) -> None:
    from llamafactory.data.parser import get_dataset_list

    from gymrecipe.formats.guide import Written
    from gymrecipe.formats.llama_factory import guide

    files = {"train": ["data/train-0.jsonl", "data/train-1.jsonl"], "validation": ["data/v.jsonl"]}
    made = guide(Written("dpo", "made", "data", files, True, True, 100))
    (tmp_path / "dataset_info.json").write_text(made.files["dataset_info.json"])
    names = list(json.loads(made.files["dataset_info.json"]))
    found = get_dataset_list(names, str(tmp_path))
    assert [entry.dataset_name for entry in found] == ["train-0.jsonl", "train-1.jsonl", "v.jsonl"]
    assert all(entry.ranking and entry.tools == "tools" for entry in found)


@pytest.mark.parametrize(
    ("recipe", "stage"),
    [("sft_threshold", "sft"), ("dpo_same_prompt", "rm"), ("kto_threshold", "kto")],
)
def test_a_version_is_loaded_as_its_readme_says(
    recipe: str, stage: str, version: Any, tokenizer: Any, tmp_path: Path
) -> None:
    made = version(recipe, format="llama_factory")
    (train,) = (output for output in made.manifest.outputs if "train" in output.path)
    assert len(load(Path(), stage, tokenizer, recipe, tmp_path)) == train.rows > 0
