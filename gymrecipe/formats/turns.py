"""Turns: a conversation as the alternation that some loaders insist on."""

from __future__ import annotations

from gymrecipe.rollouts.chat import Message, Unusable
from gymrecipe.rollouts.sides import same


def turns(messages: list[Message]) -> tuple[str | None, list[list[Message]]]:
    """The system text, and the turns: a question, an answer, a question, …

    A question is a user message or a run of tool outputs, an answer one assistant message. Raises
    Unusable with `turns_do_not_alternate` where it is not so: LLaMA-Factory drops such a row with
    a warning, ms-swift glues the messages together.
    """
    system = messages[0].content if messages and messages[0].role == "system" else None
    found: list[list[Message]] = []
    for message in messages[system is not None :]:
        if message.role not in ("user", "assistant", "tool"):
            raise Unusable("turns_do_not_alternate")
        if message.role == "tool" and found and found[-1][0].role == "tool":
            found[-1].append(message)
        elif (message.role == "assistant") == (len(found) % 2 == 1):
            found.append([message])
        else:
            raise Unusable("turns_do_not_alternate")
    return system, found


def plain(messages: list[Message], role: str) -> str:
    """The one message that there is, as text, for rows that nothing renders; token ids are not of
    it. Raises Unusable with `needs_template`.
    """
    if len(messages) != 1 or not same(messages, [Message(role, messages[0].content)]):
        raise Unusable("needs_template")
    return messages[0].content
