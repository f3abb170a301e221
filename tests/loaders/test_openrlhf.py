"""OpenRLHF's own datasets read what the format `openrlhf` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")

REFUSED = {"no_form_for_tools", "picture_tag"}
LENGTH = 10**6


def rows(files: list[str], folder: Any) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=files, split="train", cache_dir=str(folder / "cache"))


def strategy(**data: Any) -> Any:
    """What its datasets ask of the trainer."""
    args = SimpleNamespace(data=SimpleNamespace(apply_chat_template=True, **data))
    return SimpleNamespace(args=args, is_rank_0=lambda: True, print=print)


def test_sft_rows_are_the_conversations(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    from openrlhf.datasets import SFTDataset

    data = write("openrlhf", "sft", lines)
    assert set(data.refused) <= REFUSED
    dataset = SFTDataset(
        rows(data.files, data.folder),
        tokenizer,
        LENGTH,
        strategy(input_key="input", output_key=None),
        num_processors=1,
        multiturn=True,
    )
    assert len(dataset) == len(data.examples)
    for place, example in enumerate(data.examples):
        ids, _, mask = dataset[place]
        messages = [*example.prompt, *example.completion]
        assert tokenizer.decode(ids[0]) == render(messages).removesuffix("\n")
        # Its mask stands at the token before the one that is learnt.
        labels = [-100] + [
            id if kept else -100
            for id, kept in zip(ids[0].tolist()[1:], mask[0].tolist()[:-1], strict=True)
        ]
        assert trained(ids[0].tolist(), labels) == answers(messages)


@pytest.mark.parametrize("purpose", ["dpo", "reward_model"])
def test_pairs_are_a_prompt_and_two_answers(
    purpose: Any, lines: list[bytes], write: Any, tokenizer: Any, render: Callable[..., str]
) -> None:
    from openrlhf.datasets import RewardDataset

    data = write("openrlhf", purpose, lines)
    assert set(data.refused) <= REFUSED
    dataset = RewardDataset(
        rows(data.files, data.folder),
        tokenizer,
        LENGTH,
        strategy(prompt_key="prompt", chosen_key="chosen", rejected_key="rejected"),
        is_dpo=purpose == "dpo",
        num_processors=1,
    )
    assert len(dataset) == len(data.examples)
    for place, example in enumerate(data.examples):
        chosen, _, rejected, _, extra = dataset[place]
        for ids, answer in ((chosen, example.chosen), (rejected, example.rejected)):
            whole = render([*example.prompt, *answer])
            assert tokenizer.decode(ids[0]) == whole.removesuffix("\n")
        prompt = render(example.prompt, add_generation_prompt=True)
        expected = 0.5 if purpose == "reward_model" else len(tokenizer(prompt)["input_ids"])
        assert extra == expected


def test_rl_rows_are_the_prompts_and_what_the_verifier_needs(
    lines: list[bytes], write: Any, tokenizer: Any, render: Callable[..., str]
) -> None:
    from openrlhf.datasets import PromptDataset

    data = write("openrlhf", "rl", lines)
    assert set(data.refused) <= REFUSED
    dataset = PromptDataset(
        rows(data.files, data.folder), tokenizer, strategy(input_key="input", label_key="label")
    )
    assert len(dataset) == len(data.examples)
    for place, example in enumerate(data.examples):
        source, prompt, label, images = dataset[place]
        assert prompt == render(example.prompt, add_generation_prompt=True)
        assert json.loads(label) == {"expected_answer": "4"}
        assert (source, images) == ("an_agent", None)


@pytest.mark.parametrize("recipe", ["sft_threshold", "dpo_same_prompt"])
def test_a_version_is_loaded_row_by_row(
    recipe: str, version: Any, tokenizer: Any, tmp_path: Any
) -> None:
    from openrlhf.datasets import RewardDataset, SFTDataset

    made = version(recipe, format="openrlhf")
    (train,) = (output for output in made.manifest.outputs if "train" in output.path)
    keys = {"prompt_key": "prompt", "chosen_key": "chosen", "rejected_key": "rejected"}
    kind = SFTDataset if recipe == "sft_threshold" else RewardDataset
    loaded = rows([train.path], tmp_path)
    asked = strategy(input_key="input", output_key=None, **keys)
    dataset = kind(loaded, tokenizer, LENGTH, asked, num_processors=1)
    assert len(dataset) == train.rows > 0
