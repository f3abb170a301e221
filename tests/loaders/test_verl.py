"""verl's own datasets read what the format `verl` wrote."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

verl = pytest.importorskip("verl")


def shipped_class(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("verl_dataset", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.JsonTextSFTDataset


def test_sft_rows_are_the_conversations(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    data = write("verl", "sft", lines)
    assert not data.refused
    dataset = shipped_class(data.folder / "data" / "verl_dataset.py")(
        parquet_files=data.files,
        tokenizer=tokenizer,
        config={"pad_mode": "no_padding", "max_length": 10**6, "truncation": "error"},
    )
    assert len(dataset) == len(data.examples)
    for row, example in zip(dataset, data.examples, strict=False):
        ids, mask = row["input_ids"].tolist(), row["loss_mask"].tolist()
        labels = [id if kept else -100 for id, kept in zip(ids, mask, strict=True)]
        messages = [*example.prompt, *example.completion]
        assert tokenizer.decode(ids) == render(messages, example.tools)
        assert trained(ids, labels) == answers(messages, tools=example.tools)


QWEN_3 = """\
{%- set last = namespace(user=-1) %}
{%- for m in messages if m.role == "user" %}{% set last.user = messages.index(m) %}{% endfor %}
{%- for m in messages %}
{{- "<|im_start|>" + m.role + "\n" }}
{%- if m.role == "assistant" and loop.index0 > last.user and (loop.last or m.reasoning_content) %}
{{- "<think>\n" + (m.reasoning_content or "") + "\n</think>\n\n" }}
{%- endif %}
{{- m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{{ "<|im_end|>\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<|im_start|>assistant\n" }}{% endif %}"""
"""The thoughts that Qwen 3 prints: those behind the last question, and some in the last answer."""


def test_sft_rows_are_what_a_template_prints_that_takes_thoughts_out_again(
    lines: list[bytes], write: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", QWEN_3)
    data = write("verl", "sft", lines)
    dataset = shipped_class(data.folder / "data" / "verl_dataset.py")(
        parquet_files=data.files,
        tokenizer=tokenizer,
        config={"pad_mode": "no_padding", "max_length": 10**6, "truncation": "error"},
    )
    for row, messages in zip(dataset, dataset.messages, strict=False):
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        assert tokenizer.decode(row["input_ids"]) == whole
        answers = whole.split("<|im_start|>assistant\n")[1:]
        trained = row["input_ids"][row["loss_mask"].bool()]
        assert tokenizer.decode(trained) == "".join(a.split("<|im_start|>")[0] for a in answers)


def test_rl_rows_are_the_prompts_and_what_the_verifier_needs(
    lines: list[bytes], write: Any, tokenizer: Any
) -> None:
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    data = write("verl", "rl", lines)
    assert set(data.refused) <= {"calls_in_prompt", "reasoning_beside_text"}
    config = {"cache_dir": str(data.folder), "max_prompt_length": 10**6, "return_raw_chat": True}
    dataset = RLHFDataset(data.files, tokenizer, OmegaConf.create(config))
    assert len(dataset) == len(data.examples)
    for row, example in zip(dataset, data.examples, strict=False):
        said = [{"role": m.role, "content": m.content} for m in example.prompt]
        assert row["raw_prompt"] == said
        assert row["data_source"] == "an_agent"
        assert row["reward_model"] == {"style": "rule", "ground_truth": "4"}
        assert row["index"] == example.index
        assert row["extra_info"]["verifier"] == '{"expected_answer":"4"}'
        if example.tools is not None:
            names = [tool["function"]["name"] for tool in example.tools]
            assert row["extra_info"]["tool_selection"] == names
            assert row["agent_name"] == ("tool_agent" if names else "single_turn_agent")
    assert len(collate_fn([dataset[0], dataset[len(dataset) - 1]])["extra_info"]) == 2


def test_reward_model_rows_are_question_and_answers(
    lines: list[bytes], write: Any, tokenizer: Any
) -> None:
    from verl.utils.dataset.rm_dataset import RMDataset

    data = write("verl", "reward_model", lines)
    assert set(data.refused) <= {"needs_template"}
    dataset = RMDataset(data.files, tokenizer, max_length=10**5)
    assert len(dataset) == len(data.examples)
    for row, example in zip(dataset, data.examples, strict=False):
        for ids, mask, answer in zip(
            row["input_ids"], row["attention_mask"], (example.chosen, example.rejected), strict=True
        ):
            text = tokenizer.decode(ids[mask.bool()])
            assert text == f"{example.prompt[0].content}{answer[0].content}<|im_end|>"


@pytest.mark.parametrize("recipe", ["sft_threshold", "verl_rl"])
def test_a_version_is_loaded_as_its_readme_says(
    recipe: str, version: Any, tokenizer: Any, tmp_path: Path
) -> None:
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    made = version(recipe) if recipe == "verl_rl" else version(recipe, format="verl")
    (train,) = (output for output in made.manifest.outputs if "train" in output.path)
    if recipe == "verl_rl":
        config = OmegaConf.create({"cache_dir": str(tmp_path), "max_prompt_length": 10**6})
        dataset = RLHFDataset([train.path], tokenizer, config)
    else:
        dataset = shipped_class(Path("data/verl_dataset.py"))(
            parquet_files=[train.path],
            tokenizer=tokenizer,
            config={"pad_mode": "no_padding", "max_length": 10**6},
        )
    assert len(dataset) == train.rows > 0
    assert all(len(row) > 0 for row in dataset)
