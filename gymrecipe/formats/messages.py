"""The format `messages`: OpenAI chat messages, call arguments as JSON text."""

from __future__ import annotations

from typing import Any

from gymrecipe.formats.calls import as_text
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Unusable


def guide(written: Written) -> Guide:
    """Any reader of OpenAI chat data; the file itself, line by line."""
    keys = "messages" if written.purpose in ("sft", "buffer") else "prompt, chosen, rejected"
    files = written.files["train"]
    lines = [
        "import json",
        f"rows = []  # {keys}",
        f"for name in {files!r}:",
        '    with open(name, encoding="utf-8") as file:',
        "        rows += map(json.loads, file)",
    ]
    notes = []
    if files[0].endswith(".parquet"):
        lines = [
            "from datasets import load_dataset",
            f'rows = load_dataset("parquet", data_files={files!r}, split="train")  # {keys}',
        ]
        notes.append(
            "A message has null for each key that it does not have, which some templates take for"
            " a call or print: take those keys out. `tools` is JSON text, and so are messages that"
            " have token ids."
        )
    return Guide(
        load=[("python", "\n".join(lines))],
        notes=[
            *notes,
            "Arguments of calls are JSON text, as in the OpenAI API. Templates that expect an"
            " object print it quoted twice or fail (Llama 3, Qwen 2.5 and 3.5, Nemotron): decode it"
            " first, or write `format=trl`.",
            "What is trained on is for the trainer to say: mask everything but the assistant's"
            " messages.",
            f"The longest record has {written.longest:,} bytes: at 3 a token a maximum length"
            f" of {tokens(written)} tokens cuts nothing.",
        ],
    )


@format(
    purposes=("sft", "dpo", "buffer"),
    version=4,
    guide=guide,
    advice={
        "kto": "trl, llama_factory, axolotl and ms_swift have a form for it",
        "reward_model": "trl, openrlhf and ms_swift have a form with a margin",
        "rl": "nemo_rl, trl, verl and openrlhf take prompts",
    },
)
def messages(example: Example) -> dict[str, Any]:
    """OpenAI chat: `messages`, or `prompt`, `chosen` and `rejected`; arguments are JSON text."""
    record: dict[str, Any]
    if example.purpose == "dpo":
        record = {
            "prompt": as_text(example.prompt),
            "chosen": as_text(example.chosen),
            "rejected": as_text(example.rejected),
        }
    else:
        record = {"messages": as_text([*example.prompt, *example.completion])}
    if example.tools is not None:
        record["tools"] = example.tools or None  # Llama's templates print an empty list as tools
    if example.purpose == "buffer":
        if example.reward is None:
            raise Unusable("missing_reward")
        record["reward"] = example.reward
    return record | example.values
