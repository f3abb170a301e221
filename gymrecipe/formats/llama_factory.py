"""The format `llama_factory`: sharegpt conversations, and the dataset_info.json that names them.

    system, user, assistant          `system`, human, gpt
    calls of one assistant message   one function_call: JSON text of a list, after what was said
    their outputs                    one observation

Its `openai` form encodes arguments twice and drops texts beside calls, thoughts and last outputs;
this one keeps them (`data/converter.py` and `data/formatter.py` of 0.9.5).
"""

from __future__ import annotations

import json
from typing import Any

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.formats.numbers import check
from gymrecipe.formats.text import json_text
from gymrecipe.formats.turns import turns
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Message, ToolCall, Unusable

BETWEEN_OUTPUTS = "\n</tool_response>\n<tool_response>\n"
"""What LLaMA-Factory itself joins the outputs of parallel calls with; Qwen and Hermes form."""

QUIET = "enable_thinking: null      # else answers without thoughts are trained with an empty one"

STAGES = {"sft": "sft", "dpo": "dpo", "kto": "kto", "reward_model": "rm", "rl": "ppo"}


def guide(written: Written) -> Guide:
    """The entry of dataset_info.json, and the lines of the training YAML."""
    names = {split: _names(written.name, split, files) for split, files in written.files.items()}
    info = {
        name: _entry(written, file)
        for split, files in written.files.items()
        for name, file in zip(names[split], files, strict=True)
    }
    lines = [
        f"stage: {STAGES[written.purpose]}",
        f"dataset_dir: {written.inside}",
        f"dataset: {','.join(names['train'])}",
        *([f"eval_dataset: {','.join(names['validation'])}"] if "validation" in names else []),
        "template: qwen3            # the one of your model",
        *([QUIET] if _is_quiet(written) else []),
        f"cutoff_len: {tokens(written)}",
    ]
    return Guide(
        load=[("yaml", "\n".join(lines))],
        notes=[_trained(written), *_notes(written)],
        files={"dataset_info.json": json.dumps(info, indent=2) + "\n"},
    )


def _is_quiet(written: Written) -> bool:
    """Whether an empty thought that its template adds may stand before the answer, untrained. PPO's
    answers are the model's own, and of a pair both sides have what stands before the chosen one.
    """
    if written.purpose in ("dpo", "reward_model"):
        return not written.has_reasoning
    return written.purpose != "rl"


def _names(name: str, split: str, files: list[str]) -> list[str]:
    name = name if split == "train" else f"{name}_{split}"
    return [name] if len(files) == 1 else [f"{name}_{n:05d}" for n in range(len(files))]


def _entry(written: Written, file: str) -> dict[str, Any]:
    columns = {"messages": "conversations", "system": "system"}
    if written.has_tools:
        columns["tools"] = "tools"
    entry: dict[str, Any] = {"file_name": file.rpartition("/")[2], "formatting": "sharegpt"}
    if written.purpose in ("dpo", "reward_model"):
        entry["ranking"] = True
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if written.purpose == "kto":
        columns["kto_tag"] = "kto_tag"
    return entry | {"columns": columns}


def _trained(written: Written) -> str:
    match written.purpose:
        case "sft":
            return "Every assistant message is trained, its calls too."
        case "kto":
            return "The last assistant message is trained; what came before it is prompt."
        case "rl":
            return (
                "PPO needs a reward model (`reward_model:`); the empty last answer of each row is"
                " only there because the loader wants one."
            )
        case _:
            return "The one message of `chosen` and of `rejected` is trained; there are no margins."


def _notes(written: Written) -> list[str]:
    notes = [
        "`cutoff_len` (2048 if it is not given) cuts longer rows without a word; the one above is"
        " 3 bytes of the longest row a token.",
        "A row without a system message gets the template's own, where it has one.",
    ]
    if written.has_tools:
        notes.append(
            "Outputs of parallel calls are joined as the Qwen and Hermes templates join them; with"
            " a template of another family, leave out rows that have them. What is said before a"
            " call stands before `<tool_call>`: the templates of Llama 2, Mistral and LFM do not"
            " know it, and stop there."
        )
    if written.has_reasoning:
        notes.append(
            "Thoughts stand as `<think>` before the text; a template whose `thought_words` are"
            " others shows them as text. `reasoning: drop` leaves them out."
            " `enable_thinking: false` would take them out of the answers."
        )
    if written.has_reasoning and written.purpose != "sft":
        notes.append(
            "Templates of thinking models take the thoughts of earlier answers out of the prompt"
            " unless `preserve_thinking: true` is given."
        )
    if written.has_reasoning and not _is_quiet(written):
        notes.append("They put an empty thought before an answer without one, and train on it.")
    return notes


@format(
    purposes=("sft", "dpo", "kto", "reward_model", "rl"),
    version=2,
    guide=guide,
    files=("jsonl",),
    pairs_at=("decision",),
    reasoning="think_tags",
    without_ids=("sft", "dpo", "kto", "reward_model", "rl"),
    advice={
        "buffer": "Its PPO makes its own answers to prompts: `+recipe=rl_prompts"
        " format=llama_factory`",
    },
)
def llama_factory(example: Example) -> dict[str, Any]:
    """LLaMA-Factory: sharegpt `conversations`, with a dataset_info.json beside the data."""
    check(example.values)
    system, asked = turns([*example.prompt, *example.completion])
    said = [_said(turn) for turn in asked]
    if example.purpose == "rl":
        said.append({"from": "gpt", "value": ""})
    record: dict[str, Any] = {"conversations": said}
    if example.purpose in ("dpo", "reward_model"):
        record["chosen"] = _only(example.chosen)
        record["rejected"] = _only(example.rejected)
    if example.purpose == "kto":
        record["kto_tag"] = example.label
    record["system"] = system or ""
    if example.tools is not None:
        record["tools"] = json_text(example.tools) if example.tools else ""
    return record | example.values


def _only(messages: list[Message]) -> dict[str, str]:
    if len(messages) != 1:
        raise Unusable("turns_do_not_alternate")
    return _said(messages)


def _said(turn: list[Message]) -> dict[str, str]:
    first = turn[0]
    if first.role == "tool":
        outputs = [message.content for message in turn]
        if any("</tool_response>" in output for output in outputs):
            raise Unusable("format_markers")
        return {"from": "observation", "value": BETWEEN_OUTPUTS.join(outputs)}
    if first.role == "user":
        if "{{idx}}" in first.content:  # its formatter puts the turn's number there
            raise Unusable("format_markers")
        return {"from": "human", "value": first.content}
    if first.reasoning_content:
        raise Unusable("reasoning_beside_text")
    if not first.tool_calls:
        return {"from": "gpt", "value": first.content}
    return {"from": "function_call", "value": _before(first.content, _calls(first.tool_calls))}


def _calls(calls: list[ToolCall]) -> str:
    """The calls as JSON text without a character that could open a marker of any template."""
    text = json_text([call.function for call in calls])
    return text.replace("<", "\\u003c").replace("◁", "\\u25c1")


def _before(text: str, calls: str) -> str:
    """The calls after what was said: on a line of its own, or right behind the thoughts, as in the
    chat templates of Qwen and Hermes.
    """
    if not text:
        return calls
    if "<tool_call>" in text or text.endswith("</think>\n"):
        raise Unusable("format_markers")
    between = "" if text.endswith("</think>\n\n") else "\n"
    return f"{text}{between}<tool_call>{calls}</tool_call>"
