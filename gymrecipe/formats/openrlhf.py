"""The format `openrlhf`: what OpenRLHF's data sets read with `--data.apply_chat_template`."""

from __future__ import annotations

from typing import Any

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import MUST_KEEP, Guide, Written, tokens
from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Message, Unusable

COMMANDS = {
    "sft": "train_sft {files} --data.input_key input --data.multiturn",
    "dpo": "train_dpo {files} --data.prompt_key prompt"
    " --data.chosen_key chosen --data.rejected_key rejected",
    "reward_model": "train_rm {files} --data.prompt_key prompt"
    " --data.chosen_key chosen --data.rejected_key rejected",
    "rl": "train_ppo_ray {files} --data.input_key input --data.label_key label",
}

TRAINS = {
    "sft": "With `--data.multiturn` every assistant message is trained on; without it only the last"
    f" one. {MUST_KEEP}:"
    ' `--data.tokenizer_chat_template "$(cat qwen3_training.jinja)"`.',
    "dpo": "Every token after the prompt counts, user turns inside `chosen` and `rejected` too."
    " Without `--data.prompt_key` the rejected side is cut in the wrong place.",
    "reward_model": "`margin` is subtracted from the difference of the two scores.",
    "rl": "`label` is handed to the reward function as it is: JSON text of the verifier's fields;"
    " `columns: {expected_answer: label}` puts one field there instead.",
}


def guide(written: Written) -> Guide:
    """The command of OpenRLHF's own CLI."""
    command = COMMANDS[written.purpose].format(files=files(written))
    length = "" if written.purpose == "rl" else f" --data.max_len {tokens(written)}"
    return Guide(
        load=[("sh", f"python -m openrlhf.cli.{command} --data.apply_chat_template{length}")],
        notes=[
            TRAINS[written.purpose],
            "No tools reach the template, so rows with tools or calls are rejected"
            " (`no_form_for_tools`); `format=rendered` writes them as text.",
        ],
    )


def files(written: Written) -> str:
    """The options that name the data: a file a split, or of shards the folder that they are in.

    Told one by one, shards have columns of their own and cannot be joined where those differ; a
    folder is loaded as one, with its splits. `train_dpo` looks for the split `test` unless told.
    """
    kind = "prompt_dataset" if written.purpose == "rl" else "dataset"
    several = any(len(paths) > 1 for paths in written.files.values())
    text = f"--data.{kind} {written.inside if several else written.files['train'][0]}"
    if several and "validation" in written.files:
        text += f" --eval.dataset {written.inside} --eval.split validation"
    elif "validation" in written.files:
        text += f" --eval.dataset {written.files['validation'][0]} --eval.split train"
    return text


@format(
    purposes=("sft", "dpo", "reward_model", "rl"),
    version=3,
    guide=guide,
    files=("jsonl",),
    reasoning="think_tags",
    without_ids=("dpo", "reward_model"),
    advice={
        "kto": "OpenRLHF has no KTO since March 2026; trl, llama_factory, axolotl and ms_swift do",
        "buffer": "It makes its own answers to prompts: `+recipe=rl_prompts format=openrlhf`",
    },
)
def openrlhf(example: Example) -> dict[str, Any]:
    """OpenRLHF: `input`, `prompt` with `chosen` and `rejected`, or `input` with `label`."""
    record: dict[str, Any]
    check(example.values)
    spoken = [*example.prompt, *example.completion, *example.chosen, *example.rejected]
    if example.tools or any(turn.role == "tool" or turn.tool_calls for turn in spoken):
        raise Unusable("no_form_for_tools")
    if example.purpose == "sft":
        record = {"input": spoken}
    elif example.purpose == "rl":
        record = _prompt(example)
    elif any(turn.reasoning_content for turn in spoken):
        # Messages of different keys are a column of JSON to `datasets`, which OpenRLHF's `map` to
        # a text of the same name then makes a list.
        raise Unusable("reasoning_beside_text")
    else:
        record = {
            "prompt": _plain(example.prompt),
            "chosen": _plain(example.chosen),
            "rejected": _plain(example.rejected),
        }
    if example.purpose == "reward_model":
        record["margin"] = example.margin
    return record | example.values


def _plain(messages: list[Message]) -> list[Message]:
    """The messages without what not all of them have: token ids, and the names of users."""
    return [Message(message.role, message.content) for message in messages]


def _prompt(example: Example) -> dict[str, Any]:
    if any(map(_has_picture_tag, example.prompt)):
        raise Unusable("picture_tag")
    return {
        "input": example.prompt,
        "label": json_text(example.verifier),
        "datasource": example.agent or "default",
    }


def _has_picture_tag(message: Message) -> bool:
    """OpenRLHF's loader of prompts takes this text for a picture."""
    return "<image>" in message.content
