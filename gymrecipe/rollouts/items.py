"""Items: how the items of a rollout become chat messages.

    reasoning, assistant text, calls   one assistant message a model call
    function_call_output               one tool message

A model call is a run of items of the model; a token-id list on an item ends it sooner. Some agents
(hermes, harbor) put the ids of a call on its text and its function calls behind that. The items
hold decoded values (see `lines.whole`), for each of them is looked at.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Raw

from gymrecipe.rollouts.chat import (
    NO_SETTING,
    Function,
    Message,
    Reading,
    ToolCall,
    Unusable,
    on_a_line,
)
from gymrecipe.rollouts.json_members import repeats
from gymrecipe.rollouts.lines import NULL, Item, is_null
from gymrecipe.rollouts.response_counts import ends_on_ids

_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_MEDIA = (
    "input_image", "image_url", "image", "input_audio", "audio_url", "audio", "input_video",
    "video_url", "video", "input_file", "file",
)  # fmt: skip
_NO_OBJECT = f"they are no JSON object, {NO_SETTING}"
_any = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, Any])


class Talk:
    """The messages so far. `refused`: a part of what the model said is marked as a refusal.
    `joined`: several messages of the model in a row became one.
    """

    def __init__(self, reading: Reading) -> None:
        self.messages: list[Message] = []
        self.refused = self.joined = False
        self._developer = "developer" if reading.developer == "keep" else "system"
        self._keeps_ids = reading.token_ids == "keep"
        self._fills_arguments = reading.empty_arguments == "object"

    def add(self, items: list[Item[Any]]) -> None:
        """Append the messages of items; those of one model call are one message."""
        messages = self.messages
        speaking: Message | None = None
        ended: Message | None = None
        for place, item in enumerate(items):
            kind = item.type
            if kind == "function_call_output" or item.role == "tool":
                if messages and not messages[-1].tool_calls:
                    _give_thought_to_its_call(messages)
                messages.append(_output(item))
                speaking = ended = None
                continue
            if kind == "function_call":
                said, thought = "", None
                calls = [self._call(item.call_id, item.name, item.arguments)]
                if speaking is None and ended is not None and not ends_on_ids(items, place):
                    speaking = ended
            elif kind == "reasoning":
                said, calls, thought = "", None, _thought(item)
            elif kind is not None and kind != "message":
                raise Unusable("hosted_tool", cause=on_a_line(f"an item of the type '{kind}'"))
            elif item.role == "assistant":
                said, calls, thought = self._said(item), self._calls(item), _beside(item)
            else:
                messages.append(self._shown(item))
                speaking = ended = None
                continue
            if speaking is None:
                speaking = Message("assistant", said, thought or None, calls)
                messages.append(speaking)
            else:
                if said and speaking.content and not (said.isspace() or speaking.content.isspace()):
                    self.joined = True
                _extend(speaking, said, thought, calls)
            if item.generation_token_ids is not NULL and item.generation_token_ids:
                if self._keeps_ids:
                    _carry_ids(speaking, item)
                ended, speaking = speaking, None

    def _shown(self, item: Item[Any]) -> Message:
        if item.role not in ("user", "system", "developer"):
            role = f"of the role '{item.role}'" if item.role else "without a role"
            raise Unusable("bad_item", cause=on_a_line(f"a message {role}"))
        role = self._developer if item.role == "developer" else item.role
        if item.content is NULL or item.content is None:
            raise Unusable("bad_item", cause=f"a message of the role '{item.role}' without content")
        return Message(role, text_of(item.content), name=item.name)

    def _said(self, item: Item[Any]) -> str:
        text, content = text_of(item.content), item.content
        if item.refusal:
            self.refused = True
            return text or item.refusal
        if type(content) is list and any(part["type"] == "refusal" for part in content):
            self.refused = True
        return text

    def _call(self, id: Any, name: Any, arguments: Any) -> ToolCall:
        if not (id and name and type(id) is str and type(name) is str):
            raise Unusable("bad_item", cause=f"a call without {'a name' if id else 'an id'}")
        if type(arguments) is str:
            arguments = self._arguments(arguments)
        if type(arguments) is not dict:
            raise Unusable("arguments_not_json", cause=_NO_OBJECT)
        return ToolCall(id=id, function=Function(name, arguments))

    def _arguments(self, text: str) -> Any:
        if not text.strip():
            if not self._fills_arguments:
                raise Unusable("arguments_not_json", cause="they are an empty text")
            return {}
        try:
            arguments = _object.decode(text)
            # With as many colons as keys there is no room for a second of one.
            if text.count(":") > len(arguments) and repeats(text.encode(), arguments):
                raise Unusable("duplicate_key")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Unusable("arguments_not_json", cause=_NO_OBJECT) from None
        return arguments

    def _calls(self, item: Item[Any]) -> list[ToolCall] | None:
        """The calls of a chat message. What was a call before there were `tool_calls` has no id, by
        which its output could be told.
        """
        if not is_null(item.function_call):
            raise Unusable("bad_item", cause="a `function_call` in place of `tool_calls`")
        if item.tool_calls is NULL or not item.tool_calls:
            return None
        calls = []
        for call in item.tool_calls if type(item.tool_calls) is list else [None]:
            if type(call) is not dict:
                raise Unusable("bad_item", cause="`tool_calls` that are no list of objects")
            if (kind := call.get("type", "function")) != "function":
                raise Unusable("hosted_tool", cause=on_a_line(f"a call of the type '{kind}'"))
            function = call.get("function")
            if type(function) is not dict:
                raise Unusable("bad_item", cause="a call without an object `function`")
            name, arguments = function.get("name"), function.get("arguments")
            calls.append(self._call(call.get("id"), name, arguments))
        return calls


def _extend(message: Message, said: str, thought: str | None, calls: list[ToolCall] | None) -> None:
    if said:
        message.content += said
    if thought:
        before = message.reasoning_content
        message.reasoning_content = f"{before}\n{thought}" if before else thought
    if calls:
        message.tool_calls = [*message.tool_calls, *calls] if message.tool_calls else calls


def _give_thought_to_its_call(messages: list[Message]) -> None:
    """Mere reasoning between a call and its output belongs to the call, also after token ids."""
    if len(messages) < 2:
        return
    call, last = messages[-2:]
    mere = not (last.content or last.tool_calls or last.generation_token_ids)
    if last.role == "assistant" == call.role and call.tool_calls and mere:
        _extend(call, "", last.reasoning_content, None)
        messages.pop()


def _carry_ids(message: Message, item: Item[Any]) -> None:
    for name in ("prompt_token_ids", "generation_token_ids", "generation_log_probs"):
        value = getattr(item, name)
        if value is NULL or not value:
            continue
        if type(value) is not list:
            raise Unusable("bad_item", cause=f"`{name}` that are no list")
        setattr(message, name, value)


def without_media(items: list[Item[Any]]) -> list[Item[Any]]:
    """The same items without the parts that are not text: what is shown beside them."""
    return [
        msgspec.structs.replace(
            item, content=_texts_of(item.content), output=_texts_of(item.output)
        )
        for item in items
    ]


def _texts_of(parts: Any) -> Any:
    if type(parts) is not list:
        return parts
    texts = (*_TEXTS, "refusal", None)
    return [part for part in parts if type(part) is not dict or part.get("type") in texts]


def text_of(content: Any) -> str:
    """The text of a content: a string, the text parts of a list with nothing between, or null."""
    if type(content) is str:
        return content
    if type(content) is list:
        return _part(content[0]) if len(content) == 1 else "".join(map(_part, content))
    if isinstance(content, Raw):  # it is absent, or stands in for one (see `lines.text_item`)
        content = _any.decode(content)
    if content is None or type(content) is str:
        return content or ""
    raise Unusable("bad_item", cause="a content that is neither a text nor a list of parts")


def _part(part: Any) -> str:
    kind = part.get("type") if type(part) is dict else None
    if kind is None:
        raise Unusable("bad_item", cause="a part of a content that has no `type`")
    if kind not in _TEXTS and kind != "refusal":
        raise Unusable("not_text", cause=on_a_line(f"a part of the type '{kind}'"))
    text = part.get("refusal" if kind == "refusal" else "text")
    if type(text) is not str:
        raise Unusable("bad_item", cause=f"a part of the type '{kind}' without its text")
    return text


def _thought(item: Item[Any]) -> str:
    """The summary of a reasoning item, else its content; a line a part."""
    for content in (item.summary, item.content):
        if content is NULL or not content:
            continue
        if type(content) is not list or len(content) == 1:
            thought = text_of(content)
        else:
            thought = "\n".join(filter(None, map(_part, content)))
        if thought:
            return thought
    return ""


def _beside(item: Item[Any]) -> str | None:
    """The thought that a chat message has beside its text, under any of its names."""
    if item.reasoning_content:
        return item.reasoning_content
    for thought in (item.reasoning, item.thinking):
        if thought is NULL or thought is None:
            continue
        if type(thought) is not str:
            raise Unusable("bad_item", cause="a thought (`reasoning`, `thinking`) that is no text")
        if thought:
            return thought
    return item.reasoning_content


def _output(item: Item[Any]) -> Message:
    """What a tool said: its text, the text of its parts, or any other JSON as text."""
    chat = item.role == "tool"
    value = item.content if chat else item.output
    id = item.tool_call_id if chat else item.call_id
    if type(value) is str:
        return Message("tool", value, tool_call_id=id)
    if value is NULL or value is None:
        raise Unusable("bad_item", cause="an output of a call that is null or absent")
    if type(value) is list:
        kinds = [part.get("type") if type(part) is dict else None for part in value]
        if all(kind in _TEXTS for kind in kinds):
            value = text_of(value)
        elif media := [kind for kind in kinds if kind in _MEDIA]:
            raise Unusable("not_text", cause=f"a part of the type '{media[0]}' in an output")
    text = value if type(value) is str else json.dumps(value, ensure_ascii=False)
    return Message("tool", text, tool_call_id=id)
