"""Parts: the messages, calls and tools that a line of a chat is made of."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from gymrecipe.formats.models.line import Line, of_json


def _is_object_text(text: str) -> str:
    of_json(text, dict)
    return text


def _is_tools_text(text: str) -> str:
    _SCHEMAS.validate_python(of_json(text, list))
    return text


def _of_number(label: Any) -> Any:
    return bool(label) if type(label) is int and label in (0, 1) else label


Label = Annotated[bool, BeforeValidator(_of_number)]
"""Whether a completion is wanted, for a trainer that takes 1 and 0 for it, too."""

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
    """What the model said; beside mere calls `content` is `""`, null or missing."""

    role: Literal["assistant"]
    content: str
    reasoning_content: str = ""
    tool_calls: Annotated[list[Call[Arguments]], Field(default_factory=list)]

    @model_validator(mode="before")
    @classmethod
    def _may_only_call(cls, message: Any) -> Any:
        calls = isinstance(message, dict) and message.get("tool_calls")
        if isinstance(message, dict) and message.get("function_call") and not calls:
            raise ValueError("has a 'function_call', which no template prints. Write 'tool_calls'")
        return message | {"content": ""} if calls and message.get("content") is None else message


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
