"""A line of the format `openrlhf`, for `--data.apply_chat_template`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, model_validator

from gymrecipe.formats.models.cautions import Caution, alike, cautions
from gymrecipe.formats.models.chat import Pair, hold
from gymrecipe.formats.models.line import Line
from gymrecipe.formats.models.parts import Message
from gymrecipe.registry import Purpose


class Demonstration(Line):
    """`input` is the whole conversation."""

    input: list[Message]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("input",))
        return self


class Margin(Pair[Message]):
    """A pair with its margin."""

    margin: float


class Prompt(Line):
    """`input` is the prompt, `label` what the reward function is given."""

    input: list[Message]
    label: str

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("input",), answered=False)
        return self


LINES: dict[Purpose, type[BaseModel]] = {
    "sft": Demonstration,
    "dpo": Pair[Message],
    "reward_model": Margin,
    "rl": Prompt,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What OpenRLHF 0.11 drops or changes."""
    yield from cautions(record, "input", "prompt", "chosen", "rejected")
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    if record.get("tools"):
        yield "tools: do not reach the model. Write format=rendered"
    for name in ("input", "prompt", "chosen", "rejected"):
        for i, turn in enumerate(record.get(name) or []):
            if turn.get("tool_calls"):
                yield f"{name}.{i}: a call, whose tools do not reach the model"
            if purpose == "rl" and "<image>" in turn["content"]:
                yield f"{name}.{i}: '<image>' is taken for a picture"
            if name in ("chosen", "rejected") and turn["role"] != "assistant":
                yield Caution(f"{name}.{i}: a turn of the environment, trained on like an answer")
