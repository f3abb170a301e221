"""Messages: how the items of a rollout become one conversation, and which rollouts have none.

    instructions, system and developer items   one system message, first
    reasoning, assistant text, calls           one assistant message a model call
    function_call_output                       one tool message, in the order of the calls

A model call is a run of assistant items; a token-id list on an item ends it sooner. What was said
and every number stay as they are; what cannot be said in chat messages is `Unusable`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gymrecipe.rollouts import lines
from gymrecipe.rollouts.lines import Item

UNUSABLE = {
    "no_prompt": "nothing was asked: no user message or tool output before the first answer",
    "no_answer": "the model's last message has neither text nor a call, or there is none",
    "ends_on_environment": "the conversation ends on a user message or a tool output",
    "unanswered_call": "a call has no output before the next message",
    "orphan_tool_output": "a tool output that no call waits for",
    "duplicate_call_id": "two calls have the same id",
    "arguments_not_json": "the arguments of a call are not a JSON object",
    "hosted_tool": "an item or tool without a form in chat (web search, MCP, computer use)",
    "not_text": "a part is not text (an image, audio, a file)",
    "late_system": "a system or developer message after the conversation began",
    "bad_item": "an item or tool lacks what its type needs, or has it in an unknown form",
    "prompts_differ": "the two sides of a pair were shown different prompts or tools",
    "identical_answers": "the two sides of a pair say the same",
}
"""Why a good line gives no example; the closed list of `write`'s reasons, beside BAD_LINE."""


class Function(msgspec.Struct):
    """What is called; `arguments` is the parsed object."""

    name: str
    arguments: Any


class ToolCall(msgspec.Struct, kw_only=True):
    """One call of a function."""

    id: str
    type: str = "function"
    function: Function


class Message(msgspec.Struct, omit_defaults=True):
    """A chat message. What it does not have is not written, except `content`."""

    role: str
    content: str
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Conversation(msgspec.Struct):
    """What the model was shown, ending on a user message or tool output, and all that followed.

    The completion begins and ends with an assistant message.
    """

    prompt: list[Message]
    completion: list[Message]
    tools: list[dict[str, Any]]


class Unusable(Exception):
    """A rollout or pair that gives no example; `reason` is in UNUSABLE or `lines.BAD_LINE`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None


class _Called(msgspec.Struct):
    name: str
    arguments: Raw = Raw(b"null")


class _Call(msgspec.Struct):
    id: str
    function: _Called
    type: str = "function"


_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_MEDIA = ("input_image", "image_url", "image", "input_audio", "audio", "input_file", "file")
_whole = msgspec.json.Decoder()
_content = msgspec.json.Decoder(str | list[_Part] | None)
_calls = msgspec.json.Decoder(list[_Call] | None)
_arguments = msgspec.json.Decoder(str | dict[str, Any])
_object = msgspec.json.Decoder(dict[str, Any])
_tools = msgspec.json.Decoder(list[dict[str, Any]] | None)
_sorted = msgspec.json.Encoder(order="sorted")


def check(line: bytes) -> None:
    """Decode all of a line, also what nobody reads; raises Unusable with a reason of BAD_LINE."""
    try:
        _whole.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unusable(lines.why_bad(line, error)) from None


def conversation(line: bytes) -> Conversation:
    """The conversation of a rollout line of any shape; raises Unusable."""
    check(line)
    try:
        shape = lines.shape_of(lines.decode(line))
    except msgspec.ValidationError as error:
        raise Unusable(lines.why_bad(line, error)) from None
    if shape is None:
        raise Unusable("not_a_rollout")
    try:
        messages = _fold([], shape.prompt)
        asked = max((i for i, m in enumerate(messages, 1) if m.role != "assistant"), default=0)
        _fold(messages, shape.output)
        tools = [_nested(tool) for tool in _tools.decode(shape.tools) or []]
    except msgspec.ValidationError:
        raise Unusable("bad_item") from None
    _answer_calls(messages)
    while asked < len(messages) and messages[asked].role != "assistant":
        asked += 1  # what the environment said before the first answer was shown, too
    prompt = _one_system(shape.instructions, messages[:asked])
    completion = messages[asked:]
    if not any(message.role in ("user", "tool") for message in prompt):
        raise Unusable("no_prompt")
    if any(message.role == "system" for message in completion):
        raise Unusable("late_system")
    if not completion or not shape.output:
        raise Unusable("no_answer")
    if completion[-1].role != "assistant":
        raise Unusable("ends_on_environment")
    if not completion[-1].content.strip():
        raise Unusable("no_answer")
    return Conversation(prompt, completion, tools)


def _fold(messages: list[Message], items: list[Item]) -> list[Message]:
    """Append items to the messages; the items of one model call become one message."""
    ended = False
    for item in items:
        new = _message(item)
        if new.role == "tool" and _thought_of_call(messages[-2:]):
            _extend(messages[-2], messages.pop())
        if new.role == "assistant" and messages and messages[-1].role == "assistant" and not ended:
            _extend(messages[-1], new)
        else:
            messages.append(new)
        ended = bytes(item.generation_token_ids) not in (b"null", b"[]")
    return messages


def _thought_of_call(last: list[Message]) -> bool:
    """Whether mere reasoning stands between a call and its output: it belongs to the call."""
    return (
        [message.role for message in last] == ["assistant", "assistant"]
        and bool(last[0].tool_calls)
        and not (last[1].content or last[1].tool_calls)
    )


def _extend(message: Message, more: Message) -> None:
    message.content += more.content
    thoughts = [text for text in (message.reasoning_content, more.reasoning_content) if text]
    message.reasoning_content = "\n".join(thoughts) or None
    message.tool_calls = [*(message.tool_calls or []), *(more.tool_calls or [])] or None


def _message(item: Item) -> Message:
    """One item as a message of its own."""
    kind = item.type or ("message" if item.role else None)
    if kind == "reasoning":
        thoughts = _texts(item.summary) or _texts(item.content)
        return Message("assistant", "", reasoning_content="\n".join(thoughts) or None)
    if kind == "function_call":
        call = _tool_call(item.call_id, item.name, item.arguments)
        return Message("assistant", "", tool_calls=[call])
    if kind == "function_call_output":
        return Message("tool", _output(item.output), tool_call_id=item.call_id)
    if kind is None:
        raise Unusable("bad_item")
    if kind != "message":
        raise Unusable("hosted_tool")
    if item.role == "tool":
        return Message("tool", _output(item.content), tool_call_id=item.tool_call_id)
    if item.role == "assistant":
        return _assistant(item)
    if item.role not in ("user", "system", "developer") or lines.is_null(item.content):
        raise Unusable("bad_item")
    role = "user" if item.role == "user" else "system"
    return Message(role, "".join(_texts(item.content)), name=item.name)


def _assistant(item: Item) -> Message:
    calls = []
    for call in _calls.decode(item.tool_calls) or []:
        if call.type != "function":
            raise Unusable("hosted_tool")
        calls.append(_tool_call(call.id, call.function.name, call.function.arguments))
    return Message(
        "assistant",
        "".join(_texts(item.content)),
        reasoning_content=item.reasoning_content or None,
        tool_calls=calls or None,
    )


def _texts(raw: Raw) -> list[str]:
    """The texts of a content: a string, a list of text parts, or null."""
    content = _content.decode(raw)
    if isinstance(content, str):
        return [content]
    texts = []
    for part in content or []:
        if part.type not in (*_TEXTS, "refusal"):
            raise Unusable("not_text")
        text = part.refusal if part.type == "refusal" else part.text
        if text is None:
            raise Unusable("bad_item")
        texts.append(text)
    return texts


def _output(raw: Raw) -> str:
    """What a tool said: its text, the text of its parts, or any other JSON as it stands."""
    if lines.is_null(raw):
        raise Unusable("bad_item")
    value = _whole.decode(raw)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        types = [item.get("type") if isinstance(item, dict) else None for item in value]
        if all(kind in _TEXTS for kind in types):
            return "".join(_texts(raw))
        if any(kind in _MEDIA for kind in types):
            raise Unusable("not_text")
    return bytes(raw).decode()


def _tool_call(id: str | None, name: str | None, raw: Raw) -> ToolCall:
    if not id or not name:
        raise Unusable("bad_item")
    try:
        arguments = _arguments.decode(raw)
        if isinstance(arguments, str):
            arguments = _object.decode(arguments)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unusable("arguments_not_json") from None
    return ToolCall(id=id, function=Function(name, arguments))


def _nested(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in the nested chat schema; the model was never shown `strict` or nulls."""
    if tool.get("type", "function") != "function":
        raise Unusable("hosted_tool")
    function = tool.get("function", {key: tool[key] for key in tool if key != "type"})
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Unusable("bad_item")
    keys = dict.fromkeys(("name", "description", "parameters", *function))
    kept = {k: function[k] for k in keys if k != "strict" and function.get(k) is not None}
    return {"type": "function", "function": kept}


def _answer_calls(messages: list[Message]) -> None:
    """Hold each run of outputs against the calls before it; name the outputs and order them."""
    seen: set[str] = set()
    for start, message in enumerate(messages):
        if message.role == "tool" and (
            start == 0 or messages[start - 1].role not in ("assistant", "tool")
        ):
            raise Unusable("orphan_tool_output")
        if message.role != "assistant":
            continue
        calls = message.tool_calls or []
        if calls and not message.content.strip():
            message.content = ""
        end = start + 1
        while end < len(messages) and messages[end].role == "tool":
            end += 1
        outputs = {output.tool_call_id: output for output in messages[start + 1 : end]}
        ids = [call.id for call in calls]
        if len(set(ids)) < len(ids) or not seen.isdisjoint(ids):
            raise Unusable("duplicate_call_id")
        if None in outputs:
            raise Unusable("bad_item")
        if len(outputs) < end - start - 1 or not outputs.keys() <= set(ids):
            raise Unusable("orphan_tool_output")
        if len(outputs) < len(ids):
            raise Unusable("unanswered_call")
        seen.update(ids)
        for place, call in enumerate(calls, start + 1):
            messages[place] = outputs[call.id]
            messages[place].name = call.function.name


def _one_system(instructions: str | None, prompt: list[Message]) -> list[Message]:
    length = next((i for i, m in enumerate(prompt) if m.role != "system"), len(prompt))
    texts = [instructions or "", *(message.content for message in prompt[:length])]
    rest = prompt[length:]
    if any(message.role == "system" for message in rest):
        raise Unusable("late_system")
    if length == 0 and not instructions:
        return rest
    return [Message("system", "\n\n".join(text for text in texts if text)), *rest]


def same(a: list[Message], b: list[Message]) -> bool:
    """Whether two lists of messages are equal apart from call ids."""
    return len(a) == len(b) and all(map(_alike, a, b))


def _alike(a: Message, b: Message) -> bool:
    ours, theirs = a.tool_calls or [], b.tool_calls or []
    return (
        (a.role, a.content, a.reasoning_content, a.name)
        == (b.role, b.content, b.reasoning_content, b.name)
        and len(ours) == len(theirs)
        and all(equal(x.function, y.function) for x, y in zip(ours, theirs, strict=True))
    )


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON; to Python, true would equal 1."""
    return _sorted.encode(a) == _sorted.encode(b)


def part(
    chosen: Conversation, rejected: Conversation
) -> tuple[list[Message], list[Message], list[Message]]:
    """The prompt with the turns that both share, and what each side said from there on.

    Both remainders begin with an assistant message: where the environment said different
    things, with the turn that led there. Shared calls keep the ids of the chosen side. Raises
    Unusable with `prompts_differ`, `identical_answers` or `duplicate_call_id`.
    """
    if not same(chosen.prompt, rejected.prompt) or not equal(chosen.tools, rejected.tools):
        raise Unusable("prompts_differ")
    ours, theirs = chosen.completion, rejected.completion
    shared, most = 0, min(len(ours), len(theirs))
    while shared < most and _alike(ours[shared], theirs[shared]):
        shared += 1
    if shared == len(ours) == len(theirs):
        raise Unusable("identical_answers")
    while shared and not (shared < most and _opens(ours, shared) and _opens(theirs, shared)):
        shared -= 1
    prompt = [*chosen.prompt, *ours[:shared]]
    ids = {call.id for message in prompt for call in message.tool_calls or []}
    if any(call.id in ids for message in theirs[shared:] for call in message.tool_calls or []):
        raise Unusable("duplicate_call_id")
    return prompt, ours[shared:], theirs[shared:]


def _opens(completion: list[Message], place: int) -> bool:
    return completion[place].role == "assistant" != completion[place - 1].role
