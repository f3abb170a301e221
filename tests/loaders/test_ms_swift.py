"""ms-swift's own loader and template read what the format `ms_swift` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("swift")

REFUSED = {"turns_do_not_alternate", "format_markers"}
DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


@pytest.fixture(scope="session")
def template(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """ms-swift's Qwen 2.5 template over the tokenizer, in the mode of a purpose."""
    from swift.template import get_template

    def made(mode: str) -> Any:
        from swift.model import ModelInfo, ModelMeta

        tokenizer.model_info = ModelInfo(
            model_type="made",
            model_dir=str(tmp_path_factory.mktemp("model")),
            torch_dtype=None,
            max_model_len=10**6,
            quant_method=None,
            quant_bits=None,
            task_type="causal_lm",
        )
        tokenizer.model_meta = ModelMeta("made", [], None, template="qwen2_5")
        found = get_template(tokenizer, template_type="qwen2_5", agent_template="hermes")
        found.set_mode(mode)
        return found

    return made


def load(files: list[str]) -> Any:
    """The rows as ms-swift's preprocessor leaves them; a row that it cannot read raises."""
    from swift.dataset import load_dataset

    dataset, _ = load_dataset(
        files, strict=True, load_from_cache_file=False, remove_unused_columns=False
    )
    return dataset


def whole(row: Any) -> Any:
    """A row without the columns that are null."""
    return {name: value for name, value in row.items() if value is not None}


def test_sft_rows_are_the_conversations(
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    template: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    data = write("ms_swift", "sft", lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.files)
    assert len(rows) == len(data.examples)
    encoder = template("train")
    for row, example in zip(rows, data.examples, strict=True):
        encoded = encoder.encode(whole(row))
        messages = [*example.prompt, *example.completion]
        options = {"tools": example.tools, "default_system": DEFAULT, "glued": True}
        text = tokenizer.decode(encoded["input_ids"])
        assert text.removesuffix("\n") == render(messages, **options).removesuffix("\n")
        assert trained(encoded["input_ids"], encoded["labels"]) == answers(messages, **options)


def test_the_name_of_a_tool_reaches_the_agent_template(lines: list[bytes], write: Any) -> None:
    from swift.agent_template import agent_template_map

    data = write("ms_swift", "sft", lines)
    template = agent_template_map["gemma4"]()
    for row, example in zip(load(data.files), data.examples, strict=True):
        told = [turn for turn in row["messages"] if turn["role"] == "tool_response"]
        names = [turn.name for turn in [*example.prompt, *example.completion] if turn.name]
        assert [template._get_tool_responses([turn]).partition("{")[0] for turn in told] == [
            f"<|tool_response>response:{name}" for name in names
        ]


@pytest.mark.parametrize("purpose", ["dpo", "kto"])
def test_only_what_follows_the_prompt_is_trained(
    purpose: Any,
    lines: list[bytes],
    write: Any,
    tokenizer: Any,
    template: Any,
    render: Callable[..., str],
    answers: Callable[..., list[str]],
    trained: Callable[..., list[str]],
) -> None:
    data = write("ms_swift", purpose, lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.files)
    assert len(rows) == len(data.examples)
    encoder = template("rlhf" if purpose == "dpo" else "kto")
    for row, example in zip(rows, data.examples, strict=True):
        sides = {"chosen": example.chosen, "rejected": example.rejected}
        if purpose == "kto":
            sides = {"chosen": example.completion}
            assert row["label"] == example.label
        encoded = encoder.encode(whole(row))
        for side, answer in sides.items():
            messages = [*example.prompt, *answer]
            options = {"tools": example.tools, "default_system": DEFAULT, "glued": True}
            ids, labels = encoded[f"{side}_input_ids"], encoded[f"{side}_labels"]
            text = tokenizer.decode(ids)
            assert text.removesuffix("\n") == render(messages, **options).removesuffix("\n")
            assert trained(ids, labels) == answers(messages, len(example.prompt), **options)


def test_reward_model_rows_have_both_sides_and_the_margin(
    lines: list[bytes], write: Any, tokenizer: Any, template: Any, render: Callable[..., str]
) -> None:
    data = write("ms_swift", "reward_model", lines)
    rows = load(data.files)
    assert len(rows) == len(data.examples)
    encoder = template("rlhf")
    for row, example in zip(rows, data.examples, strict=True):
        encoded = encoder.encode(whole(row))
        assert encoded["margin"] == 0.5
        for side, answer in (("chosen", example.chosen), ("rejected", example.rejected)):
            options = {"tools": example.tools, "default_system": DEFAULT, "glued": True}
            text = tokenizer.decode(encoded[f"{side}_input_ids"])
            expected = render([*example.prompt, *answer], **options)
            assert text.removesuffix("\n") == expected.removesuffix("\n")


def test_rl_rows_are_the_prompts_and_the_answer(lines: list[bytes], write: Any) -> None:
    data = write("ms_swift", "rl", lines)
    assert set(data.refused) <= REFUSED
    rows = load(data.files)
    assert len(rows) == len(data.examples)
    for row, record, example in zip(rows, data.records, data.examples, strict=True):
        assert row["messages"] == record["messages"]
        assert row["solution"] == "4"
        assert json.loads(row["verifier"]) == {"expected_answer": "4"}
        if example.tools is not None:
            assert row["tools"] == example.tools


@pytest.mark.parametrize(
    "recipe",
    ["sft_threshold", "dpo_same_prompt", "kto_threshold", "reward_model_pairs", "rl_prompts"],
)
def test_a_version_is_loaded_row_by_row(recipe: str, version: Any) -> None:
    made = version(recipe, format="ms_swift")
    (train,) = (output for output in made.manifest.outputs if "train" in output.path)
    assert len(load([train.path])) == train.rows > 0


@pytest.mark.parametrize(
    ("text", "argument", "react"),
    [
        (None, "Action: a, Action Input: b", True),
        ("Action: a", "Action Input: b", False),
        ("So:", "Action: a, Action Input: b", False),
    ],
)
def test_calls_are_looked_at_for_react_without_the_text_before_them(
    text: str | None, argument: str, react: bool, tokenizer: Any, template: Any
) -> None:
    call = json.dumps({"name": "f", "arguments": {"x": argument}})
    said = [] if text is None else [{"role": "assistant", "content": text}]
    messages = [
        {"role": "user", "content": "2+2?"},
        *said,
        {"role": "tool_call", "content": call},
        {"role": "tool_response", "content": "4"},
        {"role": "assistant", "content": "4"},
    ]
    encoded = template("train").encode({"messages": messages})
    assert ("Observation:" in tokenizer.decode(encoded["input_ids"])) == react
