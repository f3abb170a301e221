"""The format `ms_swift`: its own roles, so that no version of it has to convert anything.

    text of an assistant message     assistant
    each of its calls                tool_call, whose content is JSON text
    an output                        tool_response, with the tool's name

Thoughts stand in the text: ms-swift takes every other key of a message away
(`dataset/preprocessor/core.py` of 4.6.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gymrecipe.formats.example import Example
from gymrecipe.formats.ground_truth import ground_truth
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.formats.turns import turns
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Message, Unusable

COMMANDS = {
    "sft": "swift sft",
    "dpo": "swift rlhf --rlhf_type dpo",
    "kto": "swift rlhf --rlhf_type kto",
    "reward_model": "swift rlhf --rlhf_type rm",
    "rl": "swift rlhf --rlhf_type grpo",
}

REACT = ("Action:", "Action Input:")
"""What it takes for a call in ReAct form, whatever the template, and answers in that form."""

PLACES = ("{{SYSTEM}}", "{{QUERY}}", "{{RESPONSE}}", "{{ROUND0}}", "{{ROUND1}}")
"""What its templates replace, also where it stands in a user's text or a tool's output."""


def guide(written: Written) -> Guide:
    """The command that names the files."""
    lines = [
        f"{COMMANDS[written.purpose]} --model YOUR_MODEL",
        f"--dataset {' '.join(written.files['train'])}",
    ]
    if "validation" in written.files:
        lines.append(f"--val_dataset {' '.join(written.files['validation'])}")
    lines += [f"--max_length {tokens(written)}", "--strict true"]
    return Guide(load=[("sh", " \\\n  ".join(lines))], notes=_notes(written))


def _notes(written: Written) -> list[str]:
    notes = [
        "`--max_length` counts 3 bytes of the longest row a token; longer rows are left out."
        " With `--strict true` a row that ms-swift cannot read stops it; without, it is left out.",
        {
            "sft": "Every assistant message and call is trained (`--loss_scale default`). Templates"
            " of hybrid thinking models (Qwen 3) put an empty thought before answers without one;"
            " `--loss_scale ignore_empty_think` does not train on it.",
            "dpo": "What the model said after the two sides part is trained, its calls too: `loss`"
            " says so of each message, whatever `--loss_scale` is.",
            "kto": "What the model said after the prompt is trained, its calls too: `loss` says so"
            " of each message, whatever `--loss_scale` is.",
            "reward_model": "A reward model reads whole conversations; `margin` is subtracted from"
            " the difference of their rewards.",
            "rl": "`solution` is the right answer, for ms-swift's own reward functions; `verifier`"
            " is the JSON text of all that the verifier needs.",
        }[written.purpose],
    ]
    if written.has_tools:
        notes.append("`--agent_template hermes` (or another) says how tools and calls are written.")
    if written.has_reasoning:
        notes.append(
            "Templates of thinking models take the thoughts of earlier rounds away;"
            " `--preserve_thinking true` keeps them."
        )
    return notes


@format(
    purposes=("sft", "dpo", "kto", "reward_model", "rl"),
    version=3,
    guide=guide,
    files=("jsonl",),
    reasoning="think_tags",
    without_ids=("sft", "dpo", "kto", "reward_model", "rl"),
    advice={
        "buffer": "Its PPO and GRPO make their own answers to prompts: `+recipe=rl_prompts"
        " format=ms_swift`",
    },
)
def ms_swift(example: Example) -> dict[str, Any]:
    """ms-swift: `messages` in its own roles, with `rejected_messages`, `label` or `margin`."""
    check(example.values)
    prompt, record = example.prompt, dict[str, Any]()
    if example.purpose in ("dpo", "reward_model"):
        record["messages"] = _parted(prompt, example.chosen)
        record["rejected_messages"] = _parted(prompt, example.rejected)
    elif example.purpose == "kto":
        record["messages"] = _parted(prompt, example.completion)
        record["label"] = example.label
    else:
        record["messages"] = _said([*prompt, *example.completion])
    if example.tools is not None:
        check(example.tools)  # it keeps them as objects
        record["tools"] = json_text(example.tools)
        if "rejected_messages" in record:
            record["rejected_tools"] = record["tools"]  # else the rejected side has none
    if example.purpose == "reward_model":
        record["margin"] = example.margin
    if example.purpose == "rl":
        record["solution"] = ground_truth(example.verifier)
        record["verifier"] = json_text(example.verifier)
    return record | example.values


def in_react(calls: list[str]) -> bool:
    """Whether it takes the calls for some in ReAct form."""
    return all(any(mark in call for call in calls) for mark in REACT)


def _parted(prompt: list[Message], answer: list[Message]) -> list[dict[str, Any]]:
    """A conversation of which only the answer is trained."""
    said = _said([*prompt, *answer])
    asked = len(_said(prompt))
    for place, message in enumerate(said):
        if message["role"] in ("assistant", "tool_call"):
            message["loss"] = place >= asked
    return said


def _said(messages: list[Message]) -> list[dict[str, Any]]:
    system, asked = turns(messages)
    said = [] if system is None else [{"role": "system", "content": system}]
    return [*said, *(part for turn in asked for message in turn for part in _parts(message))]


def _parts(message: Message) -> Iterator[dict[str, Any]]:
    if message.role != "assistant":
        if any(place in message.content for place in PLACES):
            raise Unusable("format_markers")
        said = {"role": message.role, "content": message.content}
        if message.role == "tool":
            said["role"] = "tool_response"
            if message.name is not None:
                said["name"] = message.name  # Gemma's agent template writes 'unknown' without
        yield said
        return
    if message.reasoning_content:
        raise Unusable("reasoning_beside_text")
    calls = [json_text(call.function) for call in message.tool_calls or []]
    if in_react(calls):
        raise Unusable("format_markers")
    if message.content or not calls:
        yield {"role": "assistant", "content": message.content}
    for call in calls:
        yield {"role": "tool_call", "content": call}
