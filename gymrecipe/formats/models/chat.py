"""Chat: what the lines of all formats share that hold a conversation as chat messages.

`Whole`, `Answered`, `Pair` and `Asked` are lines of messages, of one of the kinds that differ in
how calls carry their arguments: `Pair[Message]` has objects, `Pair[TextMessage]` JSON text. What
goes from message to message (order, answers to calls) is held by `hold`, in their validators.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from gymrecipe.errors import hint


class Caution(str):
    """A trap that costs something with some templates or settings only: told as a warning."""


def near(name: str, known: Iterable[str]) -> str:
    """`. Did you mean 'role'?` for the nearest known name, or nothing."""
    guess = hint(name, known)
    return f".{guess}" if guess else ""


class Line(BaseModel):
    """A line, or a part of one: nothing is converted, and other columns may stand beside."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


def of_json(text: str, wanted: type = object, said: str = "JSON text") -> Any:
    """What a JSON text holds; ValueError where it is none, or holds another type than wanted."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"should be {said}") from None
    if not isinstance(value, wanted):
        raise ValueError(f"should be the JSON text of {_JSON_NAMES[wanted]}")
    return value


_JSON_NAMES: dict[type, str] = {dict: "an object", list: "a list"}


def _is_object_text(text: str) -> str:
    of_json(text, dict)
    return text


def _is_tools_text(text: str) -> str:
    _SCHEMAS.validate_python(of_json(text, list))
    return text


Object = dict[str, Any]
"""Arguments of a call as the object itself."""
JsonText = Annotated[str, AfterValidator(_is_object_text)]
"""Arguments of a call as the JSON text of an object."""
Arguments = TypeVar("Arguments")


class Function(Line, Generic[Arguments]):
    """What a call calls."""

    name: Annotated[str, Field(min_length=1)]
    arguments: Arguments


class Call(Line, Generic[Arguments]):
    """One call. Templates that ignore ids are many, so a file without any is one, too."""

    id: str = ""
    type: Literal["function"] = "function"
    function: Function[Arguments]


class System(Line):
    """The system message."""

    role: Literal["system"]
    content: str


class Developer(Line):
    """What newer models have in place of a system message."""

    role: Literal["developer"]
    content: str


class User(Line):
    """What was asked."""

    role: Literal["user"]
    content: str


class Assistant(Line, Generic[Arguments]):
    """What the model said; `content` is `""` beside mere calls."""

    role: Literal["assistant"]
    content: str
    reasoning_content: str = ""
    tool_calls: Annotated[list[Call[Arguments]], Field(default_factory=list)]


class Tool(Line):
    """What a call gave back."""

    role: Literal["tool"]
    content: str
    tool_call_id: str = ""
    name: str = ""


AnyMessage = System | Developer | User | Assistant[Any] | Tool
Message = Annotated[
    System | Developer | User | Assistant[Object] | Tool, Field(discriminator="role")
]
"""A message whose calls have their arguments as an object."""
TextMessage = Annotated[
    System | Developer | User | Assistant[JsonText] | Tool, Field(discriminator="role")
]
"""A message whose calls have their arguments as JSON text."""
EitherMessage = Annotated[
    System | Developer | User | Assistant[Object | JsonText] | Tool, Field(discriminator="role")
]
"""A message for a loader that decodes the text itself."""
Said = TypeVar("Said")


class Described(Line):
    """What a tool is called and takes."""

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    parameters: Annotated[dict[str, Any], Field(default_factory=dict)]


class Schema(Line):
    """A tool in the nested schema of the chat API."""

    type: Literal["function"]
    function: Described


_SCHEMAS = TypeAdapter(list[Schema])
Tools = list[Schema] | None
"""The tools of a line as a list; null on a line without."""
ToolsText = Annotated[str, AfterValidator(_is_tools_text)] | None
"""The tools of a line as JSON text; null on a line without."""


class Whole(Line, Generic[Said]):
    """A demonstration as one list of messages."""

    messages: list[Said]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        hold(self, ("messages",))
        return self


class Asked(Line, Generic[Said]):
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


def refuse(found: Iterable[str]) -> None:
    """Raise for these faults, all at once, so that `check` tells each by itself."""
    if all_of_it := list(found):
        raise PydanticCustomError(
            "faults", "{said}", {"said": "; ".join(all_of_it), "faults": all_of_it}
        )


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
    for place, message in placed[1:]:
        if message.role in ("system", "developer"):
            yield f"{place}: a '{message.role}' message can only be the first"
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


KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
"""The keys of a message that templates know."""


def cautions(record: dict[str, Any], *columns: str) -> Iterator[str]:
    """What some templates refuse or drop, in the messages of these columns."""
    known = _tool_names(record["tools"]) if "tools" in record else None
    for column in columns:
        before = ""
        for i, message in enumerate(record.get(column) or []):
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
            if not message["content"].strip() and not calls:
                yield Caution(f"{place}: a message of role '{role}' without text")
            yield from _cautions_of_keys(message, place)
            for n, call in enumerate(calls):
                yield from _cautions_of_call(call, f"{place}.tool_calls.{n}", known)


def _cautions_of_keys(message: dict[str, Any], place: str) -> Iterator[str]:
    for key in message:
        if key not in KEYS and (guess := near(key, KEYS)):
            yield Caution(f"{place}: key '{key}', which no template reads{guess}")


def _cautions_of_call(call: dict[str, Any], place: str, known: list[str] | None) -> Iterator[str]:
    name = call["function"]["name"]
    if known is not None and name not in known:
        yield Caution(f"{place}: calls '{name}', a name that no tool has{near(name, known)}")
    if not call.get("id"):
        yield Caution(f"{place}: no id; templates that print ids, such as Mistral's, need one")


def _tool_names(tools: Any) -> list[str] | None:
    """The names of the tools of a line; None where it is not said that there are any."""
    try:
        listed = json.loads(tools) if isinstance(tools, str) else tools
        return [tool["function"]["name"] for tool in listed or []]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None  # a column of this name that the format does not read


def alike(record: dict[str, Any]) -> Iterator[str]:
    """Whether both sides of a pair say the same; call ids do not count."""
    chosen, rejected = record["chosen"], record["rejected"]
    # The first one looks at little, and hardly any pair gets beyond it.
    if _texts(chosen) == _texts(rejected) and _without_ids(chosen) == _without_ids(rejected):
        yield "chosen and rejected say the same: nothing to prefer"


def _texts(said: Any) -> Any:
    return [turn.get("content") for turn in said] if isinstance(said, list) else said


def _without_ids(said: Any) -> Any:
    if isinstance(said, list):
        return [_without_ids(part) for part in said]
    if isinstance(said, dict):
        return {k: _without_ids(v) for k, v in said.items() if k not in ("id", "tool_call_id")}
    return said
