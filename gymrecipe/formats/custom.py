"""The format `custom`: a record of exactly the columns that the recipe names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymrecipe.formats.example import Example
from gymrecipe.registry import Purpose, format
from gymrecipe.rollouts.chat import Message


@format(
    purposes=("sft", "dpo", "kto", "reward_model", "rl", "buffer"), version=3, across_prompts=True
)
def custom(example: Example) -> dict[str, Any]:
    """The columns that the recipe names and no other."""
    return example.values


def _last(messages: list[Message], role: str) -> str | None:
    return next((m.content for m in reversed(messages) if m.role == role), None)


_SHARED: dict[str, Callable[[Example], Any]] = {
    "prompt": lambda example: example.prompt,
    "system": lambda example: _last(example.prompt, "system"),
    "user": lambda example: _last(example.prompt, "user"),
    "tools": lambda example: example.tools or [],
}

SINGLE = _SHARED | {
    "completion": lambda example: example.completion,
    "messages": lambda example: [*example.prompt, *example.completion],
    "answer": lambda example: _last(example.completion, "assistant"),
}
"""What a column may be made of, beside table columns and paths: for one rollout …"""

TASK = _SHARED | {
    "request": lambda example: example.request,
    "verifier": lambda example: example.verifier,
}
"""… for a task, which has no answer: `answer` is a field of its line, and often its verifier's …"""

PAIR = _SHARED | {
    "chosen": lambda example: example.chosen,
    "rejected": lambda example: example.rejected,
    "chosen_answer": lambda example: _last(example.chosen, "assistant"),
    "rejected_answer": lambda example: _last(example.rejected, "assistant"),
}
"""… and for a pair. Across prompts `chosen` and `rejected` are whole conversations."""

OF_ONE_PROMPT = ("prompt", "system", "user")
"""The parts that pairs across prompts do not have, for their sides share none."""


def parts(purpose: Purpose) -> dict[str, Callable[[Example], Any]]:
    """The parts of an example for this purpose that a column may name."""
    if purpose in ("dpo", "reward_model"):
        return PAIR
    return TASK if purpose == "rl" else SINGLE


def parts_in(format: str, purpose: Purpose) -> dict[str, Callable[[Example], Any]]:
    """The parts that a column of a format may name: those of `custom`, and none of another."""
    return parts(purpose) if format == "custom" else {}
