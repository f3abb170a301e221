"""The format `axolotl`: chat rows, and the axolotl.yaml that names them.

SFT rows go through its `chat_template` strategy, which decodes arguments and tools from JSON text
and takes out the nulls that a table fills in. Pairs and labelled completions go to TRL's trainers
as they are (`type` left out): its own strategies for them copy roles and texts only, and look for
the answer's text in the rendered conversation, where a short one is found too early
(`prompt_strategies/dpo/chat_template.py` of 0.19). Reward models read one question and answer.
"""

from __future__ import annotations

from typing import Any

from gymrecipe.formats.calls import as_objects, as_text
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.formats.turns import plain
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Unusable

TYPES = {
    "sft": [
        "type: chat_template",
        "field_messages: messages",
        "roles_to_train: [assistant]",
        "train_on_eos: turn",
    ],
    "reward_model": ["type: bradley_terry.chat_template"],
}
"""The lines of a dataset's entry; none where TRL reads the rows as they are."""

SETTINGS = {
    "sft": [],
    "dpo": ["rl: dpo", "skip_prepare_dataset: true", "remove_unused_columns: false"],
    "kto": ["rl: kto", "skip_prepare_dataset: true", "remove_unused_columns: false"],
    "reward_model": ["reward_model: true"],
}


def guide(written: Written) -> Guide:
    """The block of the training YAML, also written as axolotl.yaml."""
    lines = [*SETTINGS[written.purpose]]
    for split, key in (("train", "datasets"), ("validation", "test_datasets")):
        if split in written.files:
            entry = _entry(written, written.files[split])
            lines.append(f"{key}:")
            lines += [f"  {'-' if place == 0 else ' '} {line}" for place, line in enumerate(entry)]
    lines += [
        "chat_template: tokenizer_default",
        f"sequence_len: {tokens(written)}",
    ]
    block = "\n".join(lines)
    return Guide(
        load=[("yaml", block)], notes=_notes(written), files={"axolotl.yaml": f"{block}\n"}
    )


def _entry(written: Written, files: list[str]) -> list[str]:
    """One dataset, of all its shards: as datasets of their own each would have columns inferred by
    itself, and those of pairs cannot be joined where one shard has calls and another none.
    """
    lines = [f"path: {files[0]}"]
    if len(files) > 1:
        lines = [f"path: {written.inside}", "data_files:", *(f"  - {file}" for file in files)]
    lines += ["ds_type: json", "split: train", *TYPES.get(written.purpose, [])]
    if written.purpose == "sft" and written.has_tools:
        lines.append("field_tools: tools")
    return lines


def _notes(written: Written) -> list[str]:
    by_trl = "skip_prepare_dataset: true" in SETTINGS[written.purpose]
    notes = [
        "The block is also in `axolotl.yaml` beside the data; paths are from the version's folder.",
        "`sequence_len` counts 3 bytes of the longest row a token; longer rows are"
        f" {'cut by TRL' if by_trl else 'dropped'}.",
    ]
    match written.purpose:
        case "sft":
            notes += [
                "Every assistant message is trained, its calls and its end of turn too.",
                "What is trained is found by what a message adds to the text, which goes wrong with"
                " the tokenizer's own template of Qwen 3, whose last answer has thoughts in any"
                " case: `chat_template: qwen3` is Axolotl's, which knows the last one.",
                "Only the keys that the chat template reads of a loop variable named `message` are"
                " kept. With a template that names it otherwise (GLM), calls would vanish: look at"
                " `axolotl preprocess --debug` once.",
            ]
        case "reward_model":
            notes.append("There are no margins.")
        case _:
            notes.append(
                "TRL's trainer renders the rows with the tokenizer's chat template. All that"
                " follows the prompt is trained, tool outputs too; with pairs, `pairs_at: decision`"
                " leaves one message a side."
            )
    return notes


@format(
    purposes=("sft", "dpo", "kto", "reward_model"),
    version=3,
    guide=guide,
    files=("jsonl",),
    pairs_at=("decision", "trajectory"),
    without_ids=("reward_model",),
    advice={
        "rl": "Its GRPO is TRL's: `format=trl`; its NeMo Gym plugin takes the Gym's own file",
        "buffer": "Its GRPO makes its own answers to prompts: `+recipe=rl_prompts format=trl`",
    },
)
def axolotl(example: Example) -> dict[str, Any]:
    """Axolotl: chat `messages`, or `prompt` with its answers, and an axolotl.yaml for them."""
    record: dict[str, Any]
    check(example.values)
    match example.purpose:
        case "sft":
            record = {"messages": as_text([*example.prompt, *example.completion])}
        case "dpo":
            record = {
                "prompt": as_objects(example.prompt),
                "chosen": as_objects(example.chosen),
                "rejected": as_objects(example.rejected),
            }
        case "kto":
            record = {
                "prompt": as_objects(example.prompt),
                "completion": as_objects(example.completion),
                "label": example.label,
            }
        case _:
            return _ranked(example) | example.values
    if example.tools is not None:
        # TRL hands an empty list to the template, and Llama's print it as tools.
        record["tools"] = json_text(example.tools) if example.tools else None
    return record | example.values


def _ranked(example: Example) -> dict[str, Any]:
    """One question and two answers, as its Bradley-Terry strategy reads them."""
    has_system = bool(example.prompt) and example.prompt[0].role == "system"
    if example.tools:
        raise Unusable("needs_template")
    return {
        "system": example.prompt[0].content if has_system else "",
        "input": plain(example.prompt[has_system:], "user"),
        "chosen": plain(example.chosen, "assistant"),
        "rejected": plain(example.rejected, "assistant"),
    }
