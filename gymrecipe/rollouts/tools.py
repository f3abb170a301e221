"""Tools: the schemas that a model was shown, in the nested form of chat."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from gymrecipe.rollouts.chat import Unusable, on_a_line
from gymrecipe.rollouts.lines import NULL

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder()


def with_more(tools: Any, shown: Any) -> Any:
    """The tools of a request with those that only its response has, which an environment added."""
    if type(tools) is not list or type(shown) is not list or tools == shown:
        return tools
    known = {None, *map(_name_of, tools)}
    return [*tools, *(tool for tool in shown if _name_of(tool) not in known)]


def _name_of(tool: Any) -> str | None:
    """The name of a function; None for what is none, such as a hosted tool."""
    if type(tool) is not dict or tool.get("type", "function") != "function":
        return None
    function = tool.get("function", tool)
    name = function.get("name") if type(function) is dict else None
    return name if type(name) is str else None


def tools_of(tools: Any) -> list[dict[str, Any]]:
    """Tools in the nested chat schema; the model was never shown `strict` or nulls."""
    if tools is NULL or not tools:
        return []
    return _nested_tools(_encode(tools))


@lru_cache(maxsize=64)
def _nested_tools(text: bytes) -> list[dict[str, Any]]:
    """A run has few sets of tools, each on many lines, which share what is made of them."""
    tools = _any.decode(text)
    if type(tools) is not list:
        raise Unusable("bad_item", cause="`tools` that are no list")
    return [_nested(tool) for tool in tools]


def _nested(tool: Any) -> dict[str, Any]:
    if type(tool) is not dict:
        raise Unusable("bad_item", cause="a tool that is no object")
    if (kind := tool.get("type", "function")) != "function":
        raise Unusable("hosted_tool", cause=on_a_line(f"a tool of the type '{kind}'"))
    function = tool.get("function", tool)
    if type(function) is not dict or type(function.get("name")) is not str:
        raise Unusable("bad_item", cause="a tool without a name")
    kept: dict[str, Any] = dict.fromkeys(("name", "description", "parameters"))
    kept.update(function)
    kept.pop("type", None)
    kept.pop("strict", None)
    if None in kept.values():
        kept = {key: value for key, value in kept.items() if value is not None}
    return {"type": "function", "function": kept}
