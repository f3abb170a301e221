"""Messages: how a rollout becomes one conversation, and which rollouts have none.

    instructions, system and developer items   one system message, first
    the other items                            see `items`
    outputs of calls                           in the order of the calls

What was said and every number stay as they are; what cannot be said in chat messages is
`Unusable`.
"""

from __future__ import annotations

from itertools import takewhile, zip_longest
from typing import Any

from gymrecipe.rollouts.chat import (
    NO_SETTING,
    Conversation,
    Message,
    Reading,
    ToolCall,
    Unusable,
    numbered_id,
    on_a_line,
)
from gymrecipe.rollouts.items import Talk
from gymrecipe.rollouts.lines import Item, Response
from gymrecipe.rollouts.response_counts import is_truncated
from gymrecipe.rollouts.tools import tools_of
from gymrecipe.rollouts.whole_line import SYSTEM, check, halves_as_read, parts_of, refuse_masked

USUAL = Reading()
"""What a line is read as unless a recipe says otherwise."""

_ASKING = frozenset({"user", "tool"})


def conversation(line: bytes, reading: Reading = USUAL) -> Conversation:
    """The conversation of a rollout line of any shape; raises Unusable."""
    value = check(line)
    parts = parts_of(line, value)
    refuse_masked(value)
    response = parts.response if isinstance(parts.response, Response) else None
    if reading.truncated == "reject" and is_truncated(response):
        raise Unusable("truncated")
    halves = halves_as_read(line, parts, value, reading, answered=True)
    talk = Talk(reading)
    messages = talk.messages
    talk.add(halves.prompt)
    talk.refused, talk.joined, first = False, False, len(messages)
    talk.add(halves.output)
    roles = [message.role for message in messages]
    while first < len(roles) and roles[first] != "assistant":
        first += 1  # what the environment said before the first answer was shown, too
    shown = first
    while shown and roles[shown - 1] == "assistant":
        shown -= 1  # a prompt ends on what is to be answered
    tools = tools_of(halves.tools)
    stands = _answer_calls(messages, reading)
    prompt = _prompt(halves.instructions, messages[:shown], reading)
    end = _end(messages, first, stands, reading)
    completion = messages[shown:end]
    if not SYSTEM.isdisjoint(roles[shown:end]):
        raise Unusable("late_system")
    if talk.refused and reading.refusals == "reject":
        raise Unusable("refusal")
    if reading.reasoning == "drop":
        prompt, completion = _without_thoughts(prompt), _without_thoughts(completion)
    _settle([*prompt, *completion], tools, reading)
    return Conversation(prompt, completion, tools, talk.refused, talk.joined)


def asked(
    line: bytes, reading: Reading = USUAL, media: bool = False
) -> tuple[list[Message], list[dict[str, Any]]]:
    """What the model was shown and its tools, of a rollout or an input row; raises Unusable.

    With `media` images, audio and files are passed over: the request is to be copied as it is.
    """
    value = check(line)
    parts = parts_of(line, value)
    halves = halves_as_read(line, parts, value, reading, answered=False, media=media)
    talk = Talk(reading)
    talk.add(halves.prompt)
    talk.add(list(takewhile(_is_environment, halves.output)))
    tools = tools_of(halves.tools)
    if _answer_calls(talk.messages, reading) < len(talk.messages):
        raise Unusable("unanswered_call")
    prompt = _prompt(halves.instructions, talk.messages, reading)
    if prompt[-1].role == "assistant":
        raise Unusable("prompt_answered")
    if reading.reasoning == "drop":
        prompt = _without_thoughts(prompt)
    _settle(prompt, tools, reading)
    return prompt, tools


def _is_environment(item: Item[Any]) -> bool:
    return item.type == "function_call_output" or item.role in ("user", "tool", *SYSTEM)


def _answer_calls(messages: list[Message], reading: Reading) -> int:
    """Hold each run of outputs against the calls before it; name the outputs and order them.

    How many messages stand: all, or those before the first unanswered call.
    """
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    place, length = 0, len(messages)
    while place < length:
        message = messages[place]
        place += 1
        if message.role == "tool":
            raise Unusable("orphan_tool_output")
        if message.role != "assistant" or message.tool_calls is None:
            continue
        if message.content.isspace():
            message.content = ""
        start = place
        while place < length and messages[place].role == "tool":
            place += 1
        if len(message.tool_calls) == 1 == place - start:  # mostly
            call, output = message.tool_calls[0], messages[start]
            if call.id == output.tool_call_id and call.id not in seen:
                seen.add(call.id)
                output.name = call.function.name
                continue
        if reading.repeated_call_ids == "number":
            _number(message.tool_calls, messages[start:place], seen, numbers)
        names = {call.id: call.function.name for call in message.tool_calls}
        if len(names) < len(message.tool_calls):
            cause = f"both are of one turn, {NO_SETTING}"
            raise Unusable("duplicate_call_id", cause=cause)
        if not seen.isdisjoint(names):
            raise Unusable("duplicate_call_id")
        seen.update(names)
        outputs = {output.tool_call_id: output for output in messages[start:place]}
        if None in outputs:
            raise Unusable("bad_item", cause="an output without the id of its call")
        if len(outputs) < place - start or not outputs.keys() <= names.keys():
            raise Unusable("orphan_tool_output")
        messages[start:place] = [outputs[id] for id in names if id in outputs]
        for output in messages[start:place]:
            output.name = names[output.tool_call_id or ""]
        if len(outputs) < len(names) and reading.unanswered_calls != "keep":
            if reading.unanswered_calls == "reject":
                raise Unusable("unanswered_call")
            return start - 1
    return length


def _number(
    calls: list[ToolCall], outputs: list[Message], seen: set[str], numbers: dict[str, int]
) -> None:
    """Number the ids of a turn's calls, and of their outputs, that earlier turns have, too. The
    last number of each is in `numbers`.
    """
    ids = {call.id for call in calls}
    if len(ids) < len(calls):
        return  # which output is whose?
    numbered = {id: numbered_id(id, numbers, seen, ids) for id in ids & seen}
    for call in calls:
        call.id = numbered.get(call.id, call.id)
    for output in outputs:
        id = output.tool_call_id or ""
        output.tool_call_id = numbered.get(id, output.tool_call_id)


def _end(messages: list[Message], first: int, stands: int, reading: Reading) -> int:
    """How far the conversation goes: to its end, or to where it is cut, behind `first`."""
    trims, to_call = reading.ending != "reject", reading.ending == "trim_to_call"
    if stands < len(messages):
        reason, trims, to_call = "unanswered_call", True, False
    elif len(messages) == first:
        raise Unusable("no_answer")
    elif messages[-1].role != "assistant":
        reason = "ends_on_environment"
    elif messages[-1].tool_calls or _is_answer(messages[-1]):
        return stands
    else:
        reason = "no_answer"
    if trims:
        for end in range(stands, first, -1):
            message = messages[end - 1]
            if _is_answer(message) or (to_call and message.tool_calls):
                return end
    raise Unusable(reason)


def _is_answer(message: Message) -> bool:
    """Whether it is the model's, and nothing but text that is not blank."""
    if message.role != "assistant" or message.tool_calls:
        return False
    return bool(message.content) and not message.content.isspace()


def _prompt(instructions: str | None, shown: list[Message], reading: Reading) -> list[Message]:
    """What the model was shown, with one system message or none, first."""
    roles = [message.role for message in shown]
    begun = 0
    while begun < len(roles) and roles[begun] in SYSTEM:
        begun += 1
    if not SYSTEM.isdisjoint(roles[begun:]):
        raise Unusable("late_system")
    if _ASKING.isdisjoint(roles):
        raise Unusable("no_prompt")
    texts = [instructions] if instructions else []
    texts += [message.content for message in shown[:begun] if message.role == "system"]
    rest = [message for message in shown if message.role != "system"] if begun else shown
    if reading.system not in ("keep", "drop"):
        return [Message("system", reading.system), *rest]
    if not texts or reading.system == "drop":
        return rest
    return [Message("system", "\n\n".join(text for text in texts if text)), *rest]


def _settle(messages: list[Message], tools: list[dict[str, Any]], reading: Reading) -> None:
    """Check that the tools called are described, and put thoughts into the text if they should be
    there.
    """
    if reading.missing_tools == "reject":
        calls = [message.tool_calls for message in messages if message.tool_calls]
        called = {call.function.name for each in calls for call in each}
        if called and (missing := called - {tool["function"]["name"] for tool in tools}):
            raise Unusable("missing_tools", cause=on_a_line(f"no schema of '{min(missing)}'"))
    for message in messages if reading.reasoning == "think_tags" else ():
        if message.reasoning_content is not None:
            thought = f"<think>\n{message.reasoning_content}\n</think>\n\n"
            message.content = thought + message.content
            message.reasoning_content = None


def _without_thoughts(messages: list[Message]) -> list[Message]:
    """The messages without thoughts. One that is nothing else, before another of the model, goes
    with them: it would teach the model to say nothing.
    """
    kept = []
    for message, after in zip_longest(messages, messages[1:]):
        mere = message.reasoning_content and not (message.content.strip() or message.tool_calls)
        if mere and after is not None and after.role == "assistant":
            continue
        message.reasoning_content = None
        kept.append(message)
    return kept
