"""OpenRLHF's own datasets read what the format `openrlhf` wrote."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
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


def options(command: str) -> Any:
    """What its CLI makes of a command: its options, and the defaults of those not given."""
    import openrlhf

    words = shlex.split(command)
    name = words[2].removeprefix("openrlhf.cli.")
    source = (Path(openrlhf.__file__).parent / "cli" / f"{name}.py").read_text()
    found: dict[str, Any] = {}
    for option, rest in re.findall(r'"--((?:data|eval)\.\w+)"(.*?)\)\n', source, re.DOTALL):
        default = re.search(r'default=("(?:[^"\\]|\\.)*"|[\w.]+)', rest)
        text = default[1] if default else "None"
        found[option] = json.loads(text) if text.startswith('"') else None
    given = iter(words[3:])
    for word in given:
        assert word.removeprefix("--") in found, f"it has no option {word}"
        flag = word in ("--data.apply_chat_template", "--data.multiturn")
        found[word.removeprefix("--")] = True if flag else next(given)
    return found


@pytest.mark.parametrize(
    ("recipe", "format"),
    [
        ("sft_threshold", "openrlhf"),
        ("dpo_same_prompt", "openrlhf"),
        ("sft_threshold", "rendered"),
        ("dpo_same_prompt", "rendered"),
    ],
)
def test_the_line_of_the_readme_loads_all_that_was_written(
    recipe: str, format: str, version: Any, tokenizer: Any, tmp_path: Path
) -> None:
    from openrlhf.datasets import RewardDataset, SFTDataset
    from openrlhf.datasets.utils import blending_datasets

    knobs = {"shard_rows": 5, "validation_fraction": 0.3, "format": format}
    if format == "rendered":
        (tmp_path / "chat.jinja").write_text(tokenizer.chat_template)
        knobs["chat_template"] = str(tmp_path / "chat.jinja")
    made = version(recipe, **knobs)
    (command,) = re.findall(r"^python -m openrlhf.*$", Path("README.md").read_text(), re.MULTILINE)
    asked = options(command)
    keys = {name.removeprefix("data."): value for name, value in asked.items()}
    told = SimpleNamespace(
        args=SimpleNamespace(data=SimpleNamespace(**keys), use_ms=False),
        is_rank_0=lambda: True,
        print=print,
    )
    train = blending_datasets(asked["data.dataset"], None, told, dataset_split="train")
    held = blending_datasets(asked["eval.dataset"], None, told, dataset_split=asked["eval.split"])
    written = made.manifest.statistics["write"]
    assert (len(train), len(held)) == (written["train"], written["validation"])
    rest = {"input_template": asked["data.input_template"] or None, "num_processors": 1}
    kind: Any = RewardDataset
    if recipe == "sft_threshold":
        kind, rest["multiturn"] = SFTDataset, bool(asked["data.multiturn"])
    dataset = kind(train, tokenizer, LENGTH, told, **rest)
    assert len(dataset) == len(train)
    for place, row in enumerate(train):
        text = tokenizer.decode(dataset[place][0][0])
        prompt = row["prompt"] if format == "rendered" else "<|im_start|>"
        assert text.startswith(prompt)
