"""Sides: where the two sides of a pair part, and what each says from there on."""

from __future__ import annotations

from typing import Any

import msgspec

from gymrecipe.registry import PairsAt
from gymrecipe.rollouts.chat import (
    Conversation,
    Function,
    Message,
    RepeatedIds,
    Unusable,
    numbered_id,
)

_as_it_is = msgspec.json.Encoder()
_sorted = msgspec.json.Encoder(order="sorted")


def part(
    chosen: Conversation,
    rejected: Conversation,
    at: PairsAt = "trajectory",
    repeated_call_ids: RepeatedIds = "reject",
) -> tuple[list[Message], list[Message], list[Message]]:
    """The prompt with the turns that both share, and what each side said from there on.

    `trajectory`: both remainders begin with an assistant message: where the environment said
    different things, with the turn that led there. `decision`: both are one assistant message,
    the first that differs. Shared calls keep the ids of the chosen side, which calls of the
    rejected one may have further on. Raises Unusable with `prompts_differ`, `identical_answers`,
    `parted_by_environment` or `duplicate_call_id`.
    """
    if not same(chosen.prompt, rejected.prompt) or not equal(chosen.tools, rejected.tools):
        raise Unusable("prompts_differ")
    ours, theirs = chosen.completion, rejected.completion
    shared, most = 0, min(len(ours), len(theirs))
    while shared < most and _alike(ours[shared], theirs[shared]):
        shared += 1
    if shared == len(ours) == len(theirs):
        raise Unusable("identical_answers")
    if at == "trajectory":
        while shared and not _both_open(ours, theirs, shared):
            shared -= 1
        end = max(len(ours), len(theirs))
    else:
        if not _both_open(ours, theirs, shared):
            raise Unusable("parted_by_environment")
        end = shared + 1
    prompt = [*chosen.prompt, *ours[:shared]]
    ids = {call.id for message in prompt for call in message.tool_calls or ()}
    rest = theirs[shared:end]
    own = [call.id for message in rest for call in message.tool_calls or ()]
    if not ids.isdisjoint(own):
        if repeated_call_ids == "reject":
            raise Unusable("duplicate_call_id")
        taken = ids.union(own)
        _rename(rest, {id: numbered_id(id, {}, taken) for id in own if id in ids})
    return prompt, ours[shared:end], rest


def _rename(messages: list[Message], ids: dict[str, str]) -> None:
    """Give calls and their outputs other ids."""
    for message in messages:
        for call in message.tool_calls or ():
            call.id = ids.get(call.id, call.id)
        if message.tool_call_id is not None:
            message.tool_call_id = ids.get(message.tool_call_id, message.tool_call_id)


def _both_open(ours: list[Message], theirs: list[Message], place: int) -> bool:
    """Whether both sides have an assistant message there that answers another role."""
    return place < min(len(ours), len(theirs)) and all(
        side[place].role == "assistant" and (place == 0 or side[place - 1].role != "assistant")
        for side in (ours, theirs)
    )


def same(a: list[Message], b: list[Message]) -> bool:
    """Whether two lists of messages are equal apart from call and token ids."""
    return len(a) == len(b) and all(map(_alike, a, b))


def _alike(a: Message, b: Message) -> bool:
    return (
        a.content == b.content
        and a.role == b.role
        and a.reasoning_content == b.reasoning_content
        and a.name == b.name
        and (a.tool_calls is b.tool_calls or equal(called(a), called(b)))
    )


def called(message: Message) -> list[Function]:
    """What a message calls, without the ids."""
    return [call.function for call in message.tool_calls or ()]


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON; to Python, true would equal 1."""
    return (
        a is b
        or _as_it_is.encode(a) == _as_it_is.encode(b)
        or _sorted.encode(a) == _sorted.encode(b)
    )
