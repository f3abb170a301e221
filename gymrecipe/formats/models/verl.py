"""A line of the format `verl`, as `check` reads a row of its parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, model_validator

from gymrecipe.formats.models.cautions import alike
from gymrecipe.formats.models.chat import Whole, hold
from gymrecipe.formats.models.line import Line, of_json
from gymrecipe.formats.models.parts import Message, ToolsText
from gymrecipe.registry import Purpose

_WHOLE: TypeAdapter[Whole[Message]] = TypeAdapter(Whole[Message])


def _is_conversation(text: str) -> str:
    messages = of_json(text, said="JSON text of a list of messages")
    _WHOLE.validate_python({"messages": messages})
    return text


class Demonstration(Line):
    """`messages` as JSON text, for the dataset class that is written beside the data."""

    messages: Annotated[str, AfterValidator(_is_conversation)]
    tools: ToolsText = None


class Texts(Line):
    """A question and two answers, which nothing renders."""

    prompt: str
    chosen: Annotated[str, Field(min_length=1)]
    rejected: Annotated[str, Field(min_length=1)]


class Truth(Line):
    """What the reward function is given to hold the answer against."""

    style: str
    ground_truth: str


class Extra(Line):
    """What stands beside a prompt."""

    index: int
    split: str


class Prompt(Line):
    """A prompt of the RL trainer."""

    data_source: Annotated[str, Field(min_length=1)]
    prompt: list[Message]
    ability: str
    reward_model: Truth
    extra_info: Extra
    agent_name: str

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("prompt",), answered=False)
        return self


LINES: dict[Purpose, type[BaseModel]] = {
    "sft": Demonstration,
    "reward_model": Texts,
    "rl": Prompt,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What verl 0.9 would leave out, cut or fail on."""
    if purpose == "reward_model":
        yield from alike(record)
    if purpose != "rl":
        return
    for i, turn in enumerate(record["prompt"]):
        if more := sorted(turn.keys() - {"role", "content"}):
            yield (
                f"prompt.{i}: {', '.join(more)}: is null in the other messages of the table, which"
                " templates take for a call or print as None"
            )
        if turn["role"] == "developer":
            yield f"prompt.{i}: where a template refuses 'developer', the row is left out silently"
    kwargs = record["extra_info"].get("tools_kwargs")
    if kwargs == {}:
        yield "extra_info.tools_kwargs: an empty object cannot be written to parquet"
    if record["agent_name"] not in ("tool_agent", "single_turn_agent"):
        yield f"agent_name: '{record['agent_name']}' is no agent loop of verl's own"
