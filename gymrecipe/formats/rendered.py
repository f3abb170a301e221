"""The format `rendered`: text, by the model's own chat template; tools and calls are in it."""

from __future__ import annotations

import re
from typing import Any

from gymrecipe.errors import RecipeError
from gymrecipe.formats import template_output
from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Guide, Written, tokens
from gymrecipe.formats.openrlhf import files
from gymrecipe.formats.template import render
from gymrecipe.formats.text import json_text
from gymrecipe.registry import format
from gymrecipe.rollouts.chat import Message, Unusable

OPENRLHF = {
    "sft": "train_sft --data.input_key prompt --data.output_key completion"
    " --data.input_template ''",  # which is "User: {}\nAssistant: " unless given
    "dpo": "train_dpo --data.prompt_key prompt",
    "reward_model": "train_rm --data.prompt_key prompt",
    "rl": "train_ppo_ray --data.input_key prompt --data.label_key verifier",
}
"""The command of OpenRLHF for each purpose, without its files."""

_THOUGHTS = re.compile(r"[<\[](?!/)[^<>\[\]]*think[^<>\[\]]*[>\]]\s*\Z", re.IGNORECASE)
"""An opened tag of thoughts at the end: `<think>`, `[THINK]`, `<seed:think>`."""


def guide(written: Written) -> Guide:
    """How TRL, OpenRLHF and Axolotl take the columns of text."""
    file = written.files["train"][0]
    kind = "parquet" if file.endswith(".parquet") else "json"
    python = f'load_dataset("{kind}", data_files={written.files!r})'
    load = [("python", f"from datasets import load_dataset\n{python}")]
    if command := OPENRLHF.get(written.purpose):
        length = "" if written.purpose == "rl" else f" --data.max_len {tokens(written)}"
        load.append(("sh", f"python -m openrlhf.cli.{command} {files(written)}{length}"))
    notes = [
        "The text has the special tokens of the template: the trainer must apply none of its own,"
        " and tokenize without adding any (`add_special_tokens=False`), or it begins twice.",
        f"At 3 bytes a token a maximum length of {tokens(written)} tokens cuts nothing.",
    ]
    if names := ", ".join(f"`{name}`" for name in written.arguments if name.isidentifier()):
        notes.append(
            f"The template was given {names} (`chat_template_kwargs`): give it the same where the"
            " model is asked, or it sees prompts that it was not trained on."
        )
    if written.purpose in ("sft", "kto", "dpo"):
        notes.append(
            "Everything after the prompt is trained on, tool outputs between two answers too."
        )
    return Guide(load=load, notes=notes)


@format(
    purposes=("sft", "dpo", "kto", "reward_model", "rl"),
    version=4,
    guide=guide,
    without_ids=("sft", "dpo", "kto", "reward_model", "rl"),
    advice={"buffer": "`format=messages` writes scored trajectories"},
)
def rendered(example: Example) -> dict[str, Any]:
    """Text by a chat template: `prompt` and `completion`, `chosen` and `rejected`, or `prompt`."""
    prompt = _render(example, example.prompt, opens=True)
    template_output.check(prompt, example.prompt, example.tools)
    record: dict[str, Any] = {"prompt": prompt}
    if example.purpose in ("sft", "kto"):
        record["completion"] = _continuation(example, prompt, example.completion)
    elif example.purpose != "rl":
        record["chosen"] = _continuation(example, prompt, example.chosen)
        record["rejected"] = _continuation(example, prompt, example.rejected)
        if record["chosen"] == record["rejected"]:  # the template prints no thoughts, say
            raise Unusable("identical_answers")
    if example.purpose == "kto":
        record["label"] = example.label
    elif example.purpose == "reward_model":
        record["margin"] = example.margin
    elif example.purpose == "rl":
        record["verifier"] = json_text(example.verifier)
    return record | example.values


def _continuation(example: Example, prompt: str, said: list[Message]) -> str:
    """What the whole conversation has after the text of its prompt."""
    whole = _render(example, [*example.prompt, *said], opens=False)
    if not whole.startswith(prompt) or whole == prompt:
        cause = _parting(example, prompt, whole, said[0])
        raise Unusable("not_a_continuation", cause=cause)
    text = whole[len(prompt) :]
    template_output.check(text, said)
    # A line end after the model's own mark: TRL would append a second mark after it. Where the
    # template has no mark, the line ends may be the answer's own.
    marked, own = text.rstrip("\n"), said[-1].content
    last = own.rstrip("\n")  # nothing, before a call that follows an empty line
    has_own = bool(last) and own != last and marked.endswith(last)
    return text if has_own else marked


def _parting(example: Example, prompt: str, whole: str, answer: Message) -> str:
    """Why a conversation does not go on where its prompt ends."""
    if whole == prompt:
        return "the template prints nothing of the answer"
    try:
        asked = _render(example, example.prompt, opens=False)
    except Unusable:  # it takes a prompt only where it opens the answer
        asked = prompt
    opening = prompt.removeprefix(asked)
    if opening in ("", prompt) or not whole.startswith(asked):
        return "the template prints what comes before the answer otherwise once it follows"
    if _THOUGHTS.search(opening) and answer.reasoning_content is None:
        takes = example.template.takes if example.template else ()
        names = ", ".join(name for name in takes if "think" in name or "reason" in name)
        close = f"; chat_template_kwargs may close them: {names}" if names else ""
        return f"the prompt ends on {opening!r}, which opens thoughts; the answer has none{close}"
    return f"the prompt ends on {opening!r}, and the answer is printed without it"


def _render(example: Example, messages: list[Message], opens: bool) -> str:
    if example.template is None:
        raise RecipeError("format rendered: give tokenizer=<folder> or chat_template=<file>")
    return render(example.template, messages, example.tools, opens)
