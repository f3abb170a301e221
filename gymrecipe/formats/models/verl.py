"""A line of the format `verl`, as `check` reads a row of its parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, model_validator

from gymrecipe.formats.models.cautions import Caution, alike, undescribed
from gymrecipe.formats.models.chat import Whole, hold
from gymrecipe.formats.models.line import Line, of_json
from gymrecipe.formats.models.parts import EitherMessage, Message, Tools, ToolsText
from gymrecipe.registry import Purpose

LOADER: dict[Purpose, str] = {"sft": "parquet", "reward_model": "parquet"}
"""How it reads a file: RL prompts with `datasets`, as JSON lines or parquet."""

_WHOLE: TypeAdapter[Whole[Message]] = TypeAdapter(Whole[Message])


def _is_conversation(text: str) -> str:
    messages = of_json(text, said="JSON text of a list of messages")
    _WHOLE.validate_python({"messages": messages})
    return text


class Demonstration(Line):
    """`messages` as JSON text, for the dataset class that is written beside the data."""

    messages: Annotated[str, AfterValidator(_is_conversation)]
    tools: ToolsText = None


class Listed(Whole[EitherMessage]):
    """`messages` as a list, for verl's own dataset class."""

    tools: Tools = None


class Texts(Line):
    """A question and two answers, which nothing renders."""

    prompt: str
    chosen: Annotated[str, Field(min_length=1)]
    rejected: Annotated[str, Field(min_length=1)]


class Truth(Line):
    """What the reward function is given to hold the answer against."""

    style: str = ""
    ground_truth: str | int | float | bool | list[Any] | dict[str, Any]


class Prompt(Line):
    """A prompt of the RL trainer."""

    data_source: Annotated[str, Field(min_length=1)]
    prompt: list[Message]
    ability: str = ""
    reward_model: Truth
    extra_info: dict[str, Any] | None = None
    agent_name: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("prompt",), answered=False)
        return self


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": (Demonstration, Listed),
    "reward_model": Texts,
    "rl": Prompt,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What verl 0.9 would leave out, cut or fail on."""
    if purpose == "reward_model":
        yield from alike(record)
    if purpose == "sft":
        yield from _of_messages(record["messages"])
        yield from undescribed(_called(record["messages"]), record.get("tools"))
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
    if (record.get("extra_info") or {}).get("tools_kwargs") == {}:
        yield "extra_info.tools_kwargs: an empty object cannot be written to parquet"
    name = record.get("agent_name")
    if name and name not in ("tool_agent", "single_turn_agent"):
        yield Caution(
            f"agent_name: '{name}' is no agent loop of verl's own, so that `agent_loop_config_path`"
            " has to say what it is"
        )


def _called(messages: str | list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where each call is, and what it calls."""
    turns = of_json(messages) if isinstance(messages, str) else messages
    for i, turn in enumerate(turns):
        for n, call in enumerate(turn.get("tool_calls") or []):
            yield f"messages.{i}.tool_calls.{n}", call["function"]["name"]


def _of_messages(messages: str | list[dict[str, Any]]) -> Iterator[str]:
    """Of JSON text a key that is missing; of a list what verl's own dataset class fails on."""
    if isinstance(messages, str):
        for i, turn in enumerate(of_json(messages)):
            if "content" not in turn:
                yield f'messages.{i}.content: is missing, at which verl stops. Write ""'
        return
    for i, turn in enumerate(messages):
        if i and turn["role"] == "tool" == messages[i - 1]["role"]:
            yield Caution(
                f"messages.{i}: a second output in a row: verl renders each by itself, and stops"
                " where a template joins them. format=verl writes a dataset class that does not"
            )
