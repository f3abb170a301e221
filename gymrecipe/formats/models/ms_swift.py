"""A line of the format `ms_swift`, in its own roles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from gymrecipe.formats.models.cautions import undescribed, without_ids
from gymrecipe.formats.models.line import Line, of_json, refuse
from gymrecipe.formats.models.parts import Call, JsonText, Label, Object
from gymrecipe.formats.ms_swift import PLACES, REACT, in_react
from gymrecipe.registry import Purpose

ASKED = ("user", "tool_response")
ROLES = {"tool": "tool_response"}
"""What it calls a role itself."""


def _is_call(text: str) -> str:
    call = of_json(text, said="the JSON text of a call")
    parts = (call.get("name"), call.get("arguments")) if isinstance(call, dict) else (None, None)
    if not isinstance(parts[0], str) or not isinstance(parts[1], dict):
        raise ValueError("should be an object with 'name' and, as an object, 'arguments'")
    return text


def _is_list(text: str) -> str:
    of_json(text, list)
    return text


class Said(Line):
    """A text; beside calls in the form of the chat API it may be null or missing."""

    role: Literal["system", "user", "assistant", "tool", "tool_response"]
    content: str
    tool_calls: Annotated[list[Call[Object | JsonText]], Field(default_factory=list)]
    loss: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _may_only_call(cls, turn: Any) -> Any:
        if isinstance(turn, dict) and turn.get("tool_calls") and turn.get("content") is None:
            return turn | {"content": ""}
        return turn


class Called(Line):
    """A call."""

    role: Literal["tool_call"]
    content: Annotated[str, AfterValidator(_is_call)]
    loss: bool | None = None


Tools = Annotated[str, AfterValidator(_is_list)] | list[dict[str, Any]] | None
Turns = list[Annotated[Said | Called, Field(discriminator="role")]]


class Row(Line):
    """A conversation that ends on the model."""

    messages: Turns
    tools: Tools = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        refuse(dict.fromkeys(faults("messages", self.messages)))
        return self


class Labelled(Row):
    """A conversation and whether it is wanted."""

    label: Label


class Pair(Row):
    """Two conversations with one prompt, the better one first."""

    rejected_messages: Turns
    rejected_tools: Tools = None

    @model_validator(mode="after")
    def _other_in_order(self) -> Self:
        refuse(dict.fromkeys(faults("rejected_messages", self.rejected_messages)))
        return self


class Answered(Row):
    """A conversation and what stands in place of its last answer in the worse one."""

    rejected_response: str | list[Said | Called]


class Margin(Pair):
    """A pair, and its margin where all have one."""

    margin: float | None = None


class AnsweredMargin(Answered):
    """The same with an answer, and its margin where all have one."""

    margin: float | None = None


class Prompt(Line):
    """A conversation that the model is to continue."""

    messages: Turns
    tools: Tools = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        refuse(dict.fromkeys(faults("messages", self.messages, answered=False)))
        return self


LINES: dict[Purpose, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "sft": Row,
    "dpo": (Pair, Answered),
    "kto": Labelled,
    "reward_model": (Margin, AnsweredMargin),
    "rl": Prompt,
}


def faults(name: str, turns: Turns, answered: bool = True) -> Iterator[str]:
    """What is wrong with the order of a conversation."""
    roles = [_role(turn) for turn in turns]
    if not roles or (roles[-1] in ASKED) == answered:
        yield f"{name}: should end on the {'model' if answered else 'user or a tool'}"
    before = "system"
    for i, role in enumerate(roles):
        if role == "system" and i > 0:
            yield f"{name}.{i}: a system message can only be the first"
        if role == "user" and before in ASKED:
            yield f"{name}.{i}: a user message behind a '{before}': ms-swift glues or drops them"
        if role in ("assistant", "tool_call") and before == "system":
            yield f"{name}.{i}: begins with the model"
        if role == "assistant" and before in ("assistant", "tool_call"):
            yield f"{name}.{i}: a second message of the model, glued to the one before"
        before = role
    yield from _unanswered(name, turns, roles)


def _unanswered(name: str, turns: Turns, roles: list[str]) -> Iterator[str]:
    """The calls and outputs that are not one for one; calls at the very end may be open."""
    waiting, caller = 0, 0
    for i, (role, before) in enumerate(zip([*roles, ""], ["", *roles], strict=True)):
        if role == "tool_response":
            if not waiting:
                yield f"{name}.{i}: answers no call"
            waiting = max(waiting - 1, 0)
            continue
        begins = role != "tool_call" or before != "tool_call"
        if waiting and begins and (role or before == "tool_response"):
            yield f"{name}.{caller}: a call has no output that answers it"
        if begins:
            waiting, caller = 0, i
        if role == "tool_call":
            turn = turns[i]
            waiting += len(turn.tool_calls) if isinstance(turn, Said) else 1


def _role(turn: Said | Called) -> str:
    """The role of a turn in its own words; calls are one also behind a text."""
    if isinstance(turn, Said) and turn.tool_calls:
        return "tool_call"
    return ROLES.get(turn.role, turn.role)


_READ = {"role", "content", "loss", "loss_scale", "name", "tool_calls", "tool_call_id"}
"""The keys of a message that it reads; of `tool_call_id` only the order of the outputs."""


def traps(record: dict[str, Any], purpose: Purpose) -> Iterator[str]:
    """What ms-swift 4.6 takes away or misunderstands."""
    pair = "rejected_messages" in record
    if pair and without_ids(record["messages"]) == without_ids(record["rejected_messages"]):
        yield "messages and rejected_messages say the same: nothing to prefer"
    last = record["messages"][-1].get("content")
    if "rejected_response" in record and record["rejected_response"] == last:
        yield "rejected_response says the same: nothing to prefer"
    if pair and record.get("tools") and not record.get("rejected_tools"):
        yield "rejected_tools: without it the rejected side is shown no tools"
    for name in ("messages", "rejected_messages"):
        yield from _react(name, record.get(name) or [])
        shown = record.get(name.replace("messages", "tools"))
        yield from undescribed(_called(name, record.get(name) or []), shown)
        for i, turn in enumerate(record.get(name) or []):
            if lost := sorted(turn.keys() - _READ):
                yield f"{name}.{i}: {', '.join(lost)}: taken away"
            text = turn.get("content") or ""
            if ROLES.get(turn["role"], turn["role"]) in ASKED and "{{" in text:
                for place in PLACES:
                    if place in text:
                        yield f"{name}.{i}: '{place}' is replaced"


def _called(name: str, turns: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where each call is, and what it calls."""
    for i, turn in enumerate(turns):
        if turn["role"] == "tool_call":
            yield f"{name}.{i}", of_json(turn["content"])["name"]
        for call in turn.get("tool_calls") or []:
            yield f"{name}.{i}", call["function"]["name"]


def _react(name: str, turns: list[dict[str, Any]]) -> Iterator[str]:
    """Where the calls of one message, taken together, are read as one in ReAct form."""
    numbered = groupby(enumerate(turns), key=lambda one: one[1]["role"] == "tool_call")
    for group in (list(group) for calls, group in numbered if calls):
        if in_react([turn["content"] for _, turn in group]):
            yield (
                f"{name}.{group[0][0]}: {' and '.join(REACT)} in a call are taken for one in ReAct"
                " form"
            )
