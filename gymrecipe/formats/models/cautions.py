"""Cautions: what some templates refuse or drop, and pairs that say the same on both sides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from gymrecipe.formats.models.line import near

KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
"""The keys of a message that templates know."""


class Caution(str):
    """A trap that costs something with some templates or settings only: told as a warning."""


def cautions(record: dict[str, Any], *columns: str, shown: bool = True) -> Iterator[str]:
    """What some templates refuse or drop, in the messages of these columns.

    `shown`: what the column `tools` has is all that the model is shown of tools.
    """
    known = _tool_names(record.get("tools")) if shown or "tools" in record else None
    for column in columns:
        before = ""
        for i, message in turns(record, column):
            place, role = f"{column}.{i}", message["role"]
            if role == "developer":
                yield Caution(
                    f"{place}: role 'developer': some templates refuse it, others drop it."
                    " Write 'system'"
                )
            if role == before and role in ("user", "assistant"):
                yield Caution(
                    f"{place}: two '{role}' messages in a row, which templates that alternate"
                    " refuse. Join them"
                )
            before = role
            calls = message.get("tool_calls") or []
            if calls and message.get("content") is None:
                yield Caution(
                    f"{place}: no content beside its calls, for which some templates print 'None'."
                    ' Write ""'
                )
            elif not (message.get("content") or "").strip() and not calls:
                yield Caution(f"{place}: a message of role '{role}' without text")
            yield from _cautions_of_keys(message, place)
            for n, call in enumerate(calls):
                yield from _cautions_of_call(call, f"{place}.tool_calls.{n}", known)


def turns(record: dict[str, Any], column: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The messages of a column, which may be one that the format does not read, of any kind."""
    value = record.get(column)
    for i, message in enumerate(value if isinstance(value, list) else []):
        if _is_message(message):
            yield i, message


def _is_message(value: Any) -> bool:
    try:
        names = [call["function"]["name"] for call in value.get("tool_calls") or []]
        said = [value["role"], value.get("content") or "", *names]
    except (AttributeError, KeyError, TypeError):
        return False
    return all(isinstance(text, str) for text in said)


def _cautions_of_keys(message: dict[str, Any], place: str) -> Iterator[str]:
    for key in message:
        if key not in KEYS and (guess := near(key, KEYS)):
            yield Caution(f"{place}: key '{key}', which no template reads{guess}")


def _cautions_of_call(call: dict[str, Any], place: str, known: list[str] | None) -> Iterator[str]:
    yield from _undescribed(call["function"]["name"], place, known)
    if not call.get("id"):
        yield Caution(f"{place}: no id; templates that print ids, such as Mistral's, need one")


def _undescribed(name: str, place: str, known: list[str] | None) -> Iterator[Caution]:
    if known is not None and name not in known:
        yield Caution(f"{place}: calls '{name}', a name that no tool has{near(name, known)}")


def undescribed(called: Iterable[tuple[str, str]], tools: Any) -> Iterator[Caution]:
    """The calls, each a place and a name, of tools that the line does not describe."""
    known = _tool_names(tools)
    for place, name in called:
        yield from _undescribed(name, place, known)


def _tool_names(tools: Any) -> list[str] | None:
    """The names of the tools of a line; None where it is not said that there are any."""
    try:
        listed = json.loads(tools) if isinstance(tools, str) else tools
        return [tool.get("function", tool)["name"] for tool in listed or []]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # a column of this name that the format does not read


def no_tools(record: dict[str, Any]) -> Iterator[str]:
    """Whether the tools are an empty list, which loaders hand to the template as it is."""
    if record.get("tools") in ([], "[]"):
        yield Caution(
            "tools: an empty list, for which Llama's templates print that there are tools. Write"
            " null"
        )


ANSWERS = {"sft": ("completion",), "kto": ("completion",), "dpo": ("chosen", "rejected")}
"""The columns of which TRL's trainers train on every token."""


def environment(record: dict[str, Any], purpose: str) -> Iterator[str]:
    """Whether turns of the environment are trained on, as TRL's trainers do what is an answer."""
    unless = ", unless assistant_only_loss is set" if purpose == "sft" else ""
    for name in ANSWERS.get(purpose, ()):
        if any(turn["role"] != "assistant" for _, turn in turns(record, name)):
            yield Caution(
                f"{name}: has turns of the environment, which are trained on like answers{unless}"
            )


def alike(record: dict[str, Any]) -> Iterator[str]:
    """Whether both sides of a pair say the same; call ids do not count."""
    chosen, rejected = record["chosen"], record["rejected"]
    # The first one looks at little, and hardly any pair gets beyond it.
    if _texts(chosen) == _texts(rejected) and without_ids(chosen) == without_ids(rejected):
        yield "chosen and rejected say the same: nothing to prefer"


def _texts(said: Any) -> Any:
    return [turn.get("content") for turn in said] if isinstance(said, list) else said


def without_ids(said: Any) -> Any:
    """What is said, without the ids of calls."""
    if isinstance(said, list):
        return [without_ids(part) for part in said]
    if isinstance(said, dict):
        return {k: without_ids(v) for k, v in said.items() if k not in ("id", "tool_call_id")}
    return said
