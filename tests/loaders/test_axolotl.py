"""Axolotl's own loaders read what the format `axolotl` wrote, by the axolotl.yaml beside it."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
pytest.importorskip("axolotl")

PLAIN = (
    b'{"responses_create_params": {"input": "2+2?"}, "reward": 1.0,'
    b' "response": {"output": [{"type": "message", "role": "assistant", "content": "4"}]}}'
)

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def in_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths in axolotl.yaml are from the version's folder."""
    monkeypatch.chdir(tmp_path)


def config(data: Any, tokenizer: Any) -> Any:
    """The configuration that axolotl.yaml makes; the tokenizer is handed over another way."""
    import yaml
    from axolotl.utils.dict import DictDefault

    written = yaml.safe_load((data.folder / "data" / "axolotl.yaml").read_text())
    more = {
        "sequence_len": 10**6,
        "dataset_num_proc": 1,
        "dataset_prepared_path": str(data.folder / "prepared"),
        "is_preprocess": True,
        "tokenizer_config": "made",
    }
    return DictDefault(written | more)


def test_sft_rows_are_the_conversations(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    from axolotl.utils.data.sft import _load_and_process_single_dataset

    data = write("axolotl", "sft", lines)
    assert not data.refused
    cfg = config(data, tokenizer)
    rows, _ = _load_and_process_single_dataset(
        dataset_config=cfg.datasets[0], cfg=cfg, tokenizer=tokenizer, split="train", seed=0
    )
    assert len(rows) == len(data.examples)
    for row, example in zip(rows, data.examples, strict=True):
        messages = [*example.prompt, *example.completion]
        assert tokenizer.decode(row["input_ids"]) == render(messages, example.tools)
        assert trained(row["input_ids"], row["labels"]) == answers(messages, tools=example.tools)


@pytest.mark.parametrize("purpose", ["dpo", "kto"])
def test_pairs_and_labelled_answers_reach_the_trainer_as_they_are(
    purpose: Any,
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    render: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from axolotl.utils.data import rl
    from axolotl.utils.schemas.enums import RLType

    data = write("axolotl", purpose, lines)
    assert not data.refused
    cfg = config(data, tokenizer)
    cfg.rl = RLType(cfg.rl)
    cfg.shuffle_merged_datasets = False
    monkeypatch.setattr(rl, "load_tokenizer", lambda cfg: tokenizer)
    loaded = rl._load_split(cfg, "train")
    assert len(loaded) == len(data.examples)
    sides = ("chosen", "rejected") if purpose == "dpo" else ("completion",)
    tokenized = tokenize(purpose, loaded, tokenizer, data.folder)
    for row, example in zip(tokenized, data.examples, strict=True):
        prompt = render(example.prompt, example.tools, add_generation_prompt=True)
        read = tokenizer.decode(row["prompt_ids"])
        assert rounded(read) == rounded(prompt)
        for side in sides:
            whole = render([*example.prompt, *getattr(example, side)], example.tools)
            assert rounded(read + tokenizer.decode(row[f"{side}_ids"])) == rounded(whole)


@pytest.mark.parametrize("recipe", ["dpo_same_prompt", "kto_threshold"])
def test_shards_of_which_some_have_no_calls_are_one_dataset(
    recipe: str, version: Any, tokenizer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml
    from axolotl.utils.data import rl
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.enums import RLType

    made = version(recipe, format="axolotl", shard_rows=4)
    with open("data/axolotl.yaml") as file:
        cfg = DictDefault(yaml.safe_load(file) | {"dataset_prepared_path": str(tmp_path / "made")})
    cfg.rl = RLType(cfg.rl)
    monkeypatch.setattr(rl, "load_tokenizer", lambda cfg: tokenizer)
    assert len(rl._load_split(cfg, "train")) == sum(output.rows for output in made.manifest.outputs)


def rounded(text: str) -> str:
    """The text with its floats to 8 digits: `datasets` reads those in calls to ten decimals."""
    return re.sub(r"-?\d+\.\d+(?:[eE][-+]?\d+)?", lambda found: f"{float(found[0]):.8g}", text)


def tokenize(purpose: str, rows: Any, tokenizer: Any, folder: Any) -> Any:
    """The rows as the trainer that Axolotl builds on tokenizes them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 300}
    model = LlamaForCausalLM(LlamaConfig(**size, **heads))
    options = {
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "max_length": None,
        "per_device_train_batch_size": 2,
    }
    shared = {"model": model, "train_dataset": rows, "processing_class": tokenizer}
    if purpose == "dpo":
        from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
        from trl import DPOConfig

        trainer = AxolotlDPOTrainer(
            ref_model=LlamaForCausalLM(model.config), args=DPOConfig(**options), **shared
        )
    else:
        from axolotl.core.trainers.trl import AxolotlKTOTrainer
        from trl import KTOConfig

        trainer = AxolotlKTOTrainer(
            ref_model=LlamaForCausalLM(model.config), args=KTOConfig(**options), **shared
        )
    return trainer.train_dataset


def test_reward_model_rows_are_a_question_and_two_answers(
    lines: list[bytes], write: Any, tokenizer: Any, render: Callable[..., str]
) -> None:
    from axolotl.utils.data.sft import _load_and_process_single_dataset

    data = write("axolotl", "reward_model", lines)
    assert set(data.refused) <= {"needs_template"}
    cfg = config(data, tokenizer)
    rows, _ = _load_and_process_single_dataset(
        dataset_config=cfg.datasets[0], cfg=cfg, tokenizer=tokenizer, split="train", seed=0
    )
    assert len(rows) == len(data.examples)
    for row, example in zip(rows, data.examples, strict=True):
        for side, answer in (("chosen", example.chosen), ("rejected", example.rejected)):
            text = tokenizer.decode(row[f"{side}_ids"])
            assert text == render([*example.prompt, *answer])


def test_datasets_keeps_integers_of_64_bits_and_floats_to_ten_decimals(tmp_path: Any) -> None:
    from datasets import load_dataset

    from gymrecipe.formats.numbers import check

    draw = random.Random(0)
    floats = [round(draw.uniform(-1, 1) * 10.0 ** draw.randint(-8, 4), 12) for _ in range(2000)]
    whole = [2**63 - 1, -(2**63), 2**53 + 1, 0, 5]
    check([*floats, *whole])
    path = tmp_path / "a.jsonl"
    lines = [
        {"a": [{"x": {"y" if i % 2 else "z": value}}]} for i, value in enumerate([*whole, *floats])
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    ).map(lambda row: {"more": 1})
    read = [value for row in rows for value in row["a"][0]["x"].values()]
    assert read[: len(whole)] == whole
    assert read[len(whole) :] == pytest.approx(floats, abs=1e-10, rel=1e-9)
    assert read[len(whole) :] != floats, "floats stay now: say so in docs/formats.md"


@pytest.mark.parametrize("purpose", ["sft", "dpo", "kto", "reward_model"])
def test_the_lines_are_settings_that_axolotl_has(purpose: Any, write: Any) -> None:
    import yaml
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from axolotl.utils.schemas.datasets import SFTDataset

    data = write("axolotl", purpose, [PLAIN])
    written = yaml.safe_load((data.folder / "data" / "axolotl.yaml").read_text())
    assert written.keys() <= AxolotlInputConfig.model_fields.keys()
    for entry in written["datasets"]:
        SFTDataset.model_validate(entry)
        assert entry.keys() <= SFTDataset.model_fields.keys()


def test_a_version_is_loaded_by_its_axolotl_yaml(
    version: Any, tokenizer: Any, tmp_path: Any
) -> None:
    import yaml
    from axolotl.utils.data.sft import _load_and_process_single_dataset
    from axolotl.utils.dict import DictDefault

    made = version("sft_threshold", format="axolotl")
    (train,) = (output for output in made.manifest.outputs if "train" in output.path)
    with open("data/axolotl.yaml") as file:
        written = yaml.safe_load(file)
    more = {"dataset_num_proc": 1, "dataset_prepared_path": str(tmp_path / "prepared")}
    cfg = DictDefault(written | more | {"is_preprocess": True})
    rows, _ = _load_and_process_single_dataset(
        dataset_config=cfg.datasets[0], cfg=cfg, tokenizer=tokenizer, split="train", seed=0
    )
    assert len(rows) == train.rows > 0
