"""A line of the format `llama_factory`: sharegpt with the names of its dataset_info.json."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from gymrecipe.formats.models.cautions import Caution, alike, undescribed
from gymrecipe.formats.models.line import Line, of_json, refuse
from gymrecipe.registry import Purpose

ASKED, ANSWERED = ("human", "observation"), ("gpt", "function_call")


def _is_tools_or_nothing(text: str) -> str:
    if text and not isinstance(of_json(text), list):
        raise ValueError("should be the JSON text of a list of tools, or empty")
    return text


_MARKED = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_THOUGHTS = re.compile(r"<think>\n.*?\n</think>\n\n", re.DOTALL)
_THINKS = re.compile(r"<think>.*?</think>", re.DOTALL)
"""Thoughts to templates whose words for them have no line ends, which take any for them."""


def _calls_of(value: str) -> str:
    """The text that is decoded as calls: its formatter looks for marks first, then for thoughts."""
    if marked := _MARKED.search(value):
        return marked[1]
    return _THOUGHTS.sub("", value, count=1)


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
            calls = of_json(_calls_of(self.value))
            if calls == []:
                raise ValueError("should have a call: an empty list is trained on as an empty text")
            for call in calls if isinstance(calls, list) else [calls]:
                if not isinstance(call, dict) or not {"name", "arguments"} <= call.keys():
                    raise ValueError("a call should have 'name' and 'arguments'")
                if not isinstance(call["name"], str):
                    raise ValueError("'name' should be a text")
                if not isinstance(call["arguments"], dict):
                    raise ValueError("'arguments' should be an object: text is encoded twice")
        return self


class Rule(Line):
    """The system message, which may also be the first turn."""

    source: Literal["system"] = Field(alias="from")
    value: str


class Row(Line):
    """A conversation; `system` and `tools` are texts; empty, null or missing where there is
    nothing."""

    conversations: list[Annotated[Rule | Question | Reply, Field(discriminator="source")]]
    system: str | None = ""
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
        if source == "system" and record.get("system"):
            yield "system: is not read where the first turn is a system message, too"
    for side in ("chosen", "rejected") if purpose in ("dpo", "reward_model") else ():
        if record[side]["from"] == "function_call":
            yield from _of_call(record[side]["value"], side)
    yield from undescribed(_called(record, purpose), record.get("tools") or "[]")
    last = record["conversations"][-1] if record["conversations"] else {}
    if purpose == "kto" and last.get("value") == "" and record["kto_tag"]:
        yield "kto_tag: a wanted answer that is empty counts as an unwanted one"
    for tag in ("<image>", "<video>", "<audio>"):
        if any(tag in turn["value"] for turn in record["conversations"]):
            yield Caution(f"conversations: '{tag}' stops the loader with a model that sees")


def _called(record: dict[str, Any], purpose: Purpose) -> Iterator[tuple[str, str]]:
    """Where each call is, and what it calls."""
    turns = {f"conversations.{i}": turn for i, turn in enumerate(record["conversations"])}
    sides = ("chosen", "rejected") if purpose in ("dpo", "reward_model") else ()
    turns |= {name: record[name] for name in sides}
    for place, turn in turns.items():
        calls = of_json(_calls_of(turn["value"])) if turn["from"] == "function_call" else []
        for call in calls if isinstance(calls, list) else [calls]:
            yield place, call["name"]


def _of_call(value: str, place: str) -> Iterator[str]:
    marked = _MARKED.search(value)
    if marked is None:
        if _THINKS.search(_calls_of(value)):
            yield f"{place}: '<think>' inside the calls is taken out of them. Write \\u003c for '<'"
        return
    behind = value[marked.end() :]
    if _MARKED.search(behind):
        yield (
            f"{place}: only the first '<tool_call>' is read as calls, what follows as a text before"
            " them. Write one list of calls"
        )
    elif behind.strip():
        yield f"{place}: a text behind the calls, which is put before them"
