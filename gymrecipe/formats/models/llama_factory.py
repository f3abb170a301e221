"""A line of the format `llama_factory`: sharegpt with the names of its dataset_info.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from gymrecipe.formats.models.cautions import Caution, alike
from gymrecipe.formats.models.line import Line, of_json, refuse
from gymrecipe.registry import Purpose

ASKED, ANSWERED = ("human", "observation"), ("gpt", "function_call")


def _is_tools_or_nothing(text: str) -> str:
    if text and not isinstance(of_json(text), list):
        raise ValueError("should be the JSON text of a list of tools, or empty")
    return text


class Question(Line):
    """What a person or a tool said."""

    source: Literal["human", "observation"] = Field(alias="from")
    value: str


class Reply(Line):
    """What the model said; calls are JSON text, after `<tool_call>` where there is text, too."""

    source: Literal["gpt", "function_call"] = Field(alias="from")
    value: str

    @model_validator(mode="after")
    def _calls(self) -> Self:
        if self.source == "function_call":
            _, mark, behind = self.value.partition("<tool_call>")
            calls = of_json(behind.partition("</tool_call>")[0] if mark else self.value)
            for call in calls if isinstance(calls, list) else [calls]:
                if not isinstance(call, dict) or not {"name", "arguments"} <= call.keys():
                    raise ValueError("a call should have 'name' and 'arguments'")
                if not isinstance(call["arguments"], dict):
                    raise ValueError("'arguments' should be an object: text is encoded twice")
        return self


class Rule(Line):
    """The system message, which may also be the first turn."""

    source: Literal["system"] = Field(alias="from")
    value: str


class Row(Line):
    """A conversation; `system` and `tools` are texts, empty or missing where there is nothing."""

    conversations: list[Annotated[Rule | Question | Reply, Field(discriminator="source")]]
    system: str = ""
    tools: Annotated[str, AfterValidator(_is_tools_or_nothing)] | None = ""

    @model_validator(mode="after")
    def _alternates(self) -> Self:
        refuse(dict.fromkeys(self._faults()))
        return self

    def _faults(self) -> Iterator[str]:
        sources: list[str] = [turn.source for turn in self.conversations]
        first = int(sources[:1] == ["system"])
        for i, source in enumerate(sources[first:], first):
            wanted = (ASKED, ANSWERED)[(i - first) % 2]
            if source not in wanted:
                yield (
                    f"conversations.{i}: '{source}' where '{wanted[0]}' or '{wanted[1]}' should"
                    " be: LLaMA-Factory leaves the row out"
                )
                return
        wanted = ASKED if isinstance(self, Pair) else ANSWERED
        if not sources[first:] or sources[-1] not in wanted:
            ending = " or ".join(f"'{name}'" for name in wanted)
            yield f"conversations: should end on {ending}: LLaMA-Factory leaves the row out"


class Labelled(Row):
    """A conversation and whether its last message is wanted; numbers in place of it lose rows."""

    kto_tag: bool


class Pair(Row):
    """A conversation and the two messages that could be next."""

    chosen: Reply
    rejected: Reply


LINES: dict[Purpose, type[BaseModel]] = {
    "sft": Row,
    "dpo": Pair,
    "kto": Labelled,
    "reward_model": Pair,
    "rl": Row,
}


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What LLaMA-Factory 0.9.5 changes or misunderstands."""
    if purpose in ("dpo", "reward_model"):
        yield from alike(record)
    for i, turn in enumerate(record["conversations"]):
        source, value = turn["from"], turn["value"]
        if source == "human" and "{{idx}}" in value:
            yield f"conversations.{i}: '{{{{idx}}}}' is replaced by the number of the turn"
        if source == "function_call":
            yield from _of_call(value, f"conversations.{i}")
    last = record["conversations"][-1] if record["conversations"] else {}
    if purpose == "kto" and last.get("value") == "" and record["kto_tag"]:
        yield "kto_tag: a wanted answer that is empty counts as an unwanted one"
    for tag in ("<image>", "<video>", "<audio>"):
        if any(tag in turn["value"] for turn in record["conversations"]):
            yield Caution(f"conversations: '{tag}' stops the loader with a model that sees")


def _of_call(value: str, place: str) -> Iterator[str]:
    _, mark, behind = value.partition("<tool_call>")
    calls = behind.partition("</tool_call>")[0] if mark else value
    if "<think>" in calls:
        yield f"{place}: '<think>' inside the calls is taken out of them. Write \\u003c for '<'"
    if behind.count("</tool_call>") > 1:
        yield f"{place}: the calls end at the first '</tool_call>'. Write \\u003c for '<'"
