"""A line of the format `openrlhf`, for `--data.apply_chat_template`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from gymrecipe.formats.models.cautions import Caution, alike, cautions, turns
from gymrecipe.formats.models.chat import Pair, Sides, hold
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


class Completed(Line):
    """`input` is the prompt, `output` the answer, for `--data.output_key output`."""

    input: list[Message]
    output: list[Message]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("input", "output"))
        return self


class Texts(Line):
    """A question and its answer as texts."""

    input: str
    output: Annotated[str, Field(min_length=1)]


class Margin(Pair[Message]):
    """A pair, and its margin where it has one."""

    margin: float | None = None


class WholeMargin(Sides[Message]):
    """A pair of whole conversations without a `--data.prompt_key`."""

    margin: float | None = None


class Prompt(Line):
    """`input` is the prompt, `label` what the reward function is given, of any kind."""

    input: list[Message]
    label: Any = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("input",), answered=False)
        return self


class Question(Line):
    """A question as text, which becomes a user message."""

    input: str
    label: Any = None


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": (Demonstration, Completed, Texts),
    "dpo": Pair[Message],
    "reward_model": (Margin, WholeMargin),
    "rl": (Prompt, Question),
}

WITHOUT = {"margin": "OpenRLHF takes 0 for it on the others. Write it on all or none"}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What OpenRLHF 0.11 drops or changes."""
    if isinstance(record.get("input"), str):
        if purpose == "rl" and "<image>" in record["input"]:
            yield "input: '<image>' is taken for a picture"
        return
    columns = ("input", "output", "prompt", "chosen", "rejected")
    yield from cautions(record, *columns, shown=False)
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    if record.get("tools"):
        yield "tools: do not reach the model. Write format=rendered"
    for name in ("input", "output", "prompt", "chosen", "rejected"):
        for i, turn in turns(record, name):
            if turn.get("tool_calls"):
                yield f"{name}.{i}: a call, whose tools do not reach the model"
            if purpose == "rl" and "<image>" in (turn.get("content") or ""):
                yield f"{name}.{i}: '<image>' is taken for a picture"
            is_answer = name == "output" or (name in ("chosen", "rejected") and "prompt" in record)
            if is_answer and turn["role"] != "assistant":
                yield Caution(f"{name}.{i}: a turn of the environment, trained on like an answer")
