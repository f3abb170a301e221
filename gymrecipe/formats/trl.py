"""The formats `trl` and `trl_prompt_completion`: what TRL's trainers load."""

from __future__ import annotations

from typing import Any

from gymrecipe.formats.calls import as_objects
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.registry import format

SETTINGS = {
    "sft": ("sft", "assistant_only_loss: true"),
    "dpo": ("dpo", ""),
    "kto": ("kto", "per_device_train_batch_size: 2"),
    "reward_model": ("reward", ""),
    "rl": ("grpo", ""),
}
"""The command of each purpose, and the setting that it needs."""

TRAINS = {
    "sft": "With `assistant_only_loss` the text and the calls of the assistant are trained on;"
    " without it every token is. It needs a template with `{% generation %}`; TRL has one of its"
    " own for the usual families and stops where it has not; Qwen 3's puts an empty thought before"
    " answers without one, and trains on it.",
    "dpo": "Every token after the prompt counts, tool outputs and user turns inside `chosen` and"
    " `rejected` too; `pairs_at: decision` leaves one assistant message a side.",
    "kto": "Every token after the prompt counts, tool outputs inside the completion too. A batch"
    " needs two rows or more.",
    "reward_model": "`margin` is subtracted from the difference of the two scores. Rows longer than"
    " `max_length` are left out without a word.",
    "rl": "Only `prompt` is shown to the model. `tools` is not: give the trainer the same tools as"
    " functions (`tools=`). `verifier` and the other columns are handed to the reward functions;"
    " `verifier` is JSON text.",
}

COMPLETED = (
    "Nothing of the prompt is trained on, the model's own earlier turns in it neither. With"
    " `assistant_only_loss` the completion's text and calls are; without it every token of the"
    " completion is, tool outputs too."
)


def guide(written: Written) -> Guide:
    """The YAML of `trl sft|dpo|kto|reward|grpo`, and the same in Python."""
    command, setting = SETTINGS[written.purpose]
    lines = ["datasets:"]
    lines += ["  - path: json", f"    data_files: {written.files['train']}", "    split: train"]
    lines += [line for line in (setting, f"max_length: {tokens(written)}") if line]
    if written.purpose == "rl":
        lines[-1] = "# the reward functions: --reward_funcs my.module.reward"
    python = (
        "from datasets import load_dataset\n"
        f'data = load_dataset("json", data_files={written.files!r})\n'
        'data["train"]'
    )
    notes = [
        TRAINS[written.purpose],
        "Needs datasets 4.7 or newer; older ones fill nulls into the arguments of calls. The"
        " file has every number whole, but where messages have different keys it reads floats to"
        " ten decimals, 0.3 in a call as 0.30000000000000004; `format=rendered` is text and stays.",
    ]
    if written.purpose != "rl":
        notes.append(
            f"`max_length` is 1024 unless given; the longest record here has {written.longest:,}"
            " bytes."
        )
    if written.has_tools and written.purpose != "rl":
        notes.append("`tools` is JSON text, or null on a row without; TRL decodes it.")
    config = f"# trl {command} --config {command}.yaml --model_name_or_path …"
    return Guide(load=[("yaml", "\n".join([config, *lines])), ("python", python)], notes=notes)


def completion_guide(written: Written) -> Guide:
    """The same for SFT on a prompt and a completion."""
    made = guide(written)
    return Guide(load=made.load, notes=[COMPLETED, *made.notes[1:]])


@format(
    purposes=("sft", "dpo", "kto", "reward_model", "rl"),
    version=2,
    guide=guide,
    files=("jsonl",),  # parquet has arguments as text, which most templates print quoted twice
    advice={
        "buffer": "TRL makes its own answers to prompts: `+recipe=rl_prompts format=trl`;"
        " `format=messages` writes scored trajectories",
    },
)
def trl(example: Example) -> dict[str, Any]:
    """TRL: `messages`, `prompt` with `chosen` and `rejected` or `completion`, or `prompt`."""
    record: dict[str, Any]
    if example.purpose == "sft":
        record = {"messages": [*example.prompt, *example.completion]}
    elif example.purpose == "rl":
        record = {"prompt": example.prompt, "verifier": json_text(example.verifier)}
    elif example.purpose == "kto":
        record = {
            "prompt": example.prompt,
            "completion": example.completion,
            "label": example.label,
        }
    else:
        record = {
            "prompt": example.prompt,
            "chosen": example.chosen,
            "rejected": example.rejected,
        }
    if example.purpose == "reward_model":
        record["margin"] = example.margin
    return _with_tools(record, example)


@format(
    purposes=("sft",),
    version=1,
    guide=completion_guide,
    files=("jsonl",),
    advice={
        "dpo": "`format=trl`",
        "kto": "`format=trl`",
        "reward_model": "`format=trl`",
        "rl": "`format=trl`",
        "buffer": "TRL makes its own answers to prompts: `+recipe=rl_prompts format=trl`;"
        " `format=messages` writes scored trajectories",
    },
)
def trl_prompt_completion(example: Example) -> dict[str, Any]:
    """TRL's SFT as `prompt` and `completion`, so that nothing of the prompt is trained on."""
    return _with_tools({"prompt": example.prompt, "completion": example.completion}, example)


def _with_tools(record: dict[str, Any], example: Example) -> dict[str, Any]:
    """The record with its tools as JSON text, which `datasets` leaves as it is.

    As a list, tools of other parameters in a later part of a file stop the loader. A row without
    has null: TRL passes `[]` on, for which Llama's templates print that there are tools.
    """
    check(example.values)
    for turns in (example.prompt, example.completion, example.chosen, example.rejected):
        as_objects(turns)
    if example.tools is not None:
        record["tools"] = json_text(example.tools) if example.tools else None
    return record | example.values
