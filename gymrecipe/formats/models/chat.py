"""Chat: what the lines of all formats share that hold a conversation as chat messages.

`Whole`, `Answered`, `Pair`, `Sides` and `Prompted` are lines of messages, of one of the kinds that
differ in how calls carry their arguments: `Pair[Message]` has objects, `Pair[TextMessage]` JSON
text. What goes from message to message (order, answers to calls) is held by `hold`, in their
validators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, Self, TypeVar

from pydantic import model_validator

from gymrecipe.formats.models.line import Line, near, refuse
from gymrecipe.formats.models.parts import AnyMessage, Assistant, Tool

Said = TypeVar("Said")


class Whole(Line, Generic[Said]):
    """A demonstration as one list of messages."""

    messages: list[Said]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("messages",))
        return self


class Prompted(Line, Generic[Said]):
    """What a model is shown, and nothing else."""

    prompt: list[Said]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("prompt",), answered=False)
        return self


class Answered(Line, Generic[Said]):
    """A prompt and what the model said to it."""

    prompt: list[Said]
    completion: list[Said]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("prompt", "completion"))
        return self


class Pair(Line, Generic[Said]):
    """A prompt and two answers to it, one better than the other."""

    prompt: list[Said]
    chosen: list[Said]
    rejected: list[Said]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("prompt", "chosen"), ("prompt", "rejected"))
        return self


class Sides(Line, Generic[Said]):
    """Two whole conversations, one better than the other, and no prompt beside them."""

    prompt: None = None
    chosen: list[Said]
    rejected: list[Said]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("chosen",), ("rejected",))
        return self


def hold(line: Any, *conversations: tuple[str, ...], answered: bool = True) -> None:
    """Raise for all that is wrong with the conversations that these columns of a line make.

    The last column ends on the assistant; the ones before it, and the only one where it is not
    `answered`, end on what the model answers: a user or tool message.
    """
    found: dict[str, None] = {}  # two conversations with one prompt have its faults once
    for columns in conversations:
        parts = {name: getattr(line, name) for name in columns}
        found |= dict.fromkeys(faults(parts, answered))
    refuse(found)


def faults(parts: dict[str, Sequence[AnyMessage]], answered: bool = True) -> Iterator[str]:
    """What is wrong with a conversation in its parts: `messages`, or `prompt` and `chosen`."""
    names = list(parts)
    for name, messages in parts.items():
        if not messages:
            yield f"{name}: should have a message, got an empty list"
            return
        said = name == names[-1] and answered
        if said and messages[-1].role != "assistant":
            yield f"{name}: should end on the assistant, ends on '{messages[-1].role}'"
        if not said and messages[-1].role not in ("user", "tool"):
            yield (
                f"{name}: should end on a user or tool message, which the model answers, ends on"
                f" '{messages[-1].role}'"
            )
        if name != names[0] and messages[0].role != "assistant":
            yield f"{name}: should begin with the assistant, begins with '{messages[0].role}'"
    placed = [(f"{name}.{i}", m) for name in names for i, m in enumerate(parts[name])]
    yield from _order(placed)
    yield from _calls(placed)


def _order(placed: list[tuple[str, AnyMessage]]) -> Iterator[str]:
    begun = False
    for number, (place, message) in enumerate(placed):
        if number and message.role == "system":
            yield f"{place}: a 'system' message can only be the first"
        elif begun and message.role == "developer":
            yield f"{place}: a 'developer' message can only be at the head"
        begun = begun or message.role not in ("system", "developer")
    if all(message.role not in ("user", "tool") for _, message in placed):
        yield f"{placed[0][0]}: nothing is asked: no user or tool message in the conversation"


def _calls(placed: list[tuple[str, AnyMessage]]) -> Iterator[str]:
    """Each call is answered once, right behind the message that makes it, unless that is last."""
    seen: set[str] = set()
    waiting: list[str] = []
    caller = ""
    for place, message in placed:
        if isinstance(message, Tool):
            if message.tool_call_id in waiting:
                waiting.remove(message.tool_call_id)
            elif waiting and not message.tool_call_id:  # outputs without ids are in order
                waiting.pop(0)
            elif message.tool_call_id in seen:
                yield f"{place}: call '{message.tool_call_id}' is answered twice or too late"
            else:
                yield (
                    f"{place}: answers no call of the assistant message before it, got"
                    f" tool_call_id '{message.tool_call_id}'{near(message.tool_call_id, waiting)}"
                )
            continue
        yield from _unanswered(caller, waiting)
        waiting, caller = [], place
        if not isinstance(message, Assistant):
            continue
        for i, call in enumerate(message.tool_calls):
            if call.id in seen and call.id:
                yield f"{place}.tool_calls.{i}: id '{call.id}' is that of another call, too"
            seen.add(call.id)
            waiting.append(call.id)
    if placed[-1][1].role == "tool":
        yield from _unanswered(caller, waiting)


def _unanswered(caller: str, waiting: list[str]) -> Iterator[str]:
    for id in waiting:
        yield f"{caller}.tool_calls: call '{id}' has no tool message that answers it"
