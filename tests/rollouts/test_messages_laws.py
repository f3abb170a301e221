"""Laws: a conversation said in items is what it was; no setting makes a wrong one of a rollout."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, get_args, get_type_hints

from hypothesis import assume, event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gymrecipe.rollouts.chat import Conversation, Message, Reading, Unusable
from gymrecipe.rollouts.lines import decode, halves_of
from gymrecipe.rollouts.messages import asked, conversation
from gymrecipe.rollouts.prompts import prompt_key
from gymrecipe.rollouts.sides import part, same
from tests.rollouts.talk import (
    ASKED,
    MORE,
    answered,
    called,
    line,
    plain,
    said,
    thought,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ANSWERS = TEXTS.filter(str.strip)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.3946063684687171, 1e22, 2**53 + 1, "2024-01-01"]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
READINGS = st.builds(
    Reading,
    **{
        name: st.sampled_from(get_args(get_type_hints(Reading)[name]))
        for name in Reading.__struct_fields__
        if name not in ("system", "prompt_from")
    },
    system=st.sampled_from(["keep", "drop", "be brief"]),
)


# A conversation said in items


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Chat messages that are right: they begin with a question, and each call is answered."""
    ids = iter(range(1_000))
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(ANSWERS)})
    for _ in range(draw(st.integers(1, 4))):
        messages.append({"role": "user", "content": draw(TEXTS)})
        for _ in range(draw(st.integers(0, 3))):
            calls = [
                {"id": f"c{next(ids)}", "type": "function",
                 "function": {"name": draw(st.sampled_from("fg")), "arguments": draw(OBJECTS)}}
                for _ in range(draw(st.integers(1, 3)))
            ]  # fmt: skip
            messages.append(_answer(draw, draw(st.just("") | ANSWERS), calls))
            messages += [
                {"role": "tool", "content": draw(TEXTS), "tool_call_id": call["id"],
                 "name": call["function"]["name"]}
                for call in calls
            ]  # fmt: skip
        messages.append(_answer(draw, draw(ANSWERS), []))
    return messages


def _answer(draw: st.DrawFn, text: str, calls: list[Any]) -> dict[str, Any]:
    more: dict[str, Any] = {"reasoning_content": draw(ANSWERS)} if draw(st.booleans()) else {}
    return {
        "role": "assistant",
        "content": text,
        **more,
        **({"tool_calls": calls} if calls else {}),
    }


def items_of(draw: st.DrawFn, message: dict[str, Any]) -> list[dict[str, Any]]:
    """A chat message as items of the Responses API, in one of the ways that it is written."""
    text, role = message["content"], message["role"]
    if role == "tool":
        return [answered(message["tool_call_id"], text)]
    cut = draw(st.integers(0, len(text)))
    parts = [{"type": "input_text", "text": piece} for piece in (text[:cut], text[cut:])]
    content = draw(st.sampled_from([text, parts]))
    if role != "assistant":
        item = {"role": role, "content": content}
        return [draw(st.sampled_from([item, {"type": "message", **item}]))]
    items = [thought(message["reasoning_content"])] if "reasoning_content" in message else []
    if text or "tool_calls" not in message:
        items.append({"type": "message", "role": role, "content": content})
    for call in message.get("tool_calls", []):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        items.append(called(call["id"], json.dumps(arguments), name))
    return items


@given(st.data(), turns())
def test_a_conversation_said_in_items_is_what_it_was(
    data: st.DataObject, messages: list[dict[str, Any]]
) -> None:
    draw = data.draw
    split = [message["role"] for message in messages].index("assistant")
    shown = [item for message in messages[:split] for item in items_of(draw, message)]
    came = [item for message in messages[split:] for item in items_of(draw, message)]
    found = conversation(line(*came, input=shown, tools=_tools("fg")))
    assert [*plain(found.prompt), *plain(found.completion)] == messages
    assert len(found.prompt) == split


@given(turns())
def test_a_conversation_in_chat_messages_is_what_it_was(messages: list[dict[str, Any]]) -> None:
    text = json.dumps({"messages": messages, "tools": _tools("fg")}).encode()
    found = conversation(text)
    assert [*plain(found.prompt), *plain(found.completion)] == messages


@given(st.data(), turns(), turns())
def test_prompts_are_the_same_exactly_where_the_table_has_the_same_key(
    data: st.DataObject, one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    draw = data.draw
    sides = [one, draw(st.sampled_from([one, other]))]
    lines_of = [
        line(input=[item for m in side[:-1] for item in items_of(draw, m)], tools=_tools("fg"))
        for side in sides
    ]
    keys = [prompt_key(halves) for text in lines_of if (halves := halves_of(decode(text)))]
    prompts = [asked(text)[0] for text in lines_of]
    assert len(keys) == 2
    assert (keys[0] == keys[1]) == same(*prompts)


def _tools(names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "name": name, "parameters": {}} for name in names]


# Any items, under any settings

IDS = st.sampled_from("ab")
BOUNDARY = st.sampled_from([{}, {}, {"generation_token_ids": [1]}, {"generation_token_ids": []}])
ITEMS = st.one_of(
    st.sampled_from([ASKED, MORE, {"role": "system", "content": "s"}]),
    st.builds(lambda text, more: said(text, **more), st.sampled_from(["", "\n", "x"]), BOUNDARY),
    st.builds(lambda more: thought("hm", **more), BOUNDARY),
    st.builds(lambda id, more: called(id, **more), IDS, BOUNDARY),
    IDS.map(answered),
)


@st.composite
def outputs(draw: st.DrawFn, faults: int = 1) -> list[dict[str, Any]]:
    """Items of a response: turns that are right, and then so many items lost or put in."""
    items: list[dict[str, Any]] = []
    for place in range(draw(st.integers(0, 3))):
        a, b, ends = f"a{place}", f"b{place}", draw(BOUNDARY)
        turn = draw(st.sampled_from(["text", "thought", "calls", "late thought", "question"]))
        if turn == "text":
            items.append(said("x", **ends))
        elif turn == "thought":
            items += [thought("t", **ends), said("x")]
        elif turn == "calls":
            items += [thought("t"), called(a), said("\n"), called(b, **ends)]
            items += draw(st.permutations([answered(a, "1"), answered(b, "2")]))
        elif turn == "late thought":
            items += [called(a, **ends), thought("late"), answered(a)]
        else:
            items.append(MORE)
    items.append(said("end"))
    for _ in range(draw(st.integers(0, faults))):
        place = draw(st.integers(0, len(items)))
        items[place : place + draw(st.integers(0, 1))] = draw(st.lists(ITEMS, max_size=1))
    return items


OUTPUTS = outputs() | st.lists(ITEMS, max_size=6)
INPUTS = st.just([ASKED]) | outputs().map(lambda items: [ASKED, *_renamed(items), MORE])


def _renamed(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same items with other call ids, as history has them."""
    return [
        {**item, "call_id": f"h{item['call_id']}"} if "call_id" in item else item for item in items
    ]


def outcome(text: bytes, reading: Reading) -> Conversation | str:
    try:
        return conversation(text, reading)
    except Unusable as fault:
        return fault.reason


@given(OUTPUTS, INPUTS, READINGS)
def test_under_any_settings_a_conversation_is_right(
    output: list[Any], shown: list[Any], reading: Reading
) -> None:
    found = outcome(line(*output, input=shown), reading)
    event("used" if isinstance(found, Conversation) else found)
    if isinstance(found, str):
        return
    messages = [*found.prompt, *found.completion]
    assert not any(message.role == "system" for message in messages[1:])
    assert found.prompt[-1].role in ("user", "tool")
    assert found.completion[0].role == found.completion[-1].role == "assistant"
    calls = [call.id for message in messages for call in message.tool_calls or []]
    outputs = [message.tool_call_id for message in messages if message.role == "tool"]
    assert len(set(calls)) == len(calls)
    assert len(set(outputs)) == len(outputs)
    assert set(outputs) <= set(calls)
    if reading.unanswered_calls != "keep":
        assert set(outputs) == set(calls)
    for before, after in pairwise(messages):
        assert after.role != "tool" or before.tool_calls or before.role == "tool"
    last = found.completion[-1]
    assert last.tool_calls or last.content.strip()


@given(outputs(), INPUTS, READINGS)
def test_a_trim_leaves_a_beginning_of_the_rollout_and_no_open_call(
    output: list[Any], shown: list[Any], reading: Reading
) -> None:
    text = line(*output, input=shown)
    trimmed = outcome(text, replace(reading, ending="trim", unanswered_calls="trim"))
    assume(isinstance(trimmed, Conversation))
    assert isinstance(trimmed, Conversation)
    assert not trimmed.completion[-1].tool_calls
    strict = outcome(text, replace(reading, ending="reject", unanswered_calls="reject"))
    if isinstance(strict, Conversation):
        assert strict == trimmed
    whole = outcome(text, replace(reading, ending="reject", unanswered_calls="keep"))
    if isinstance(whole, Conversation):
        assert whole.prompt == trimmed.prompt
        assert whole.completion[: len(trimmed.completion)] == trimmed.completion


@given(outputs(0), INPUTS, READINGS)
def test_a_prompt_alone_is_the_prompt_of_the_conversation(
    output: list[Any], shown: list[Any], reading: Reading
) -> None:
    text = line(*output, input=shown)
    found = outcome(text, reading)
    assume(isinstance(found, Conversation))
    assert isinstance(found, Conversation)
    assert asked(text, reading) == (found.prompt, found.tools)


@given(outputs(), outputs(), READINGS, st.sampled_from(["trajectory", "decision"]))
def test_a_pair_is_both_sides_apart_from_ids(
    ours: list[Any], theirs: list[Any], reading: Reading, at: Any
) -> None:
    sides = [outcome(line(*output), reading) for output in (ours, theirs)]
    assume(all(isinstance(side, Conversation) for side in sides))
    chosen, rejected = sides
    assert isinstance(chosen, Conversation)
    assert isinstance(rejected, Conversation)
    try:
        prompt, won, lost = part(chosen, rejected, at)
    except Unusable:
        return
    assert prompt[-1].role in ("user", "tool")
    assert won[0].role == lost[0].role == "assistant"
    assert not same(won, lost)
    for side, rest in ((chosen, won), (rejected, lost)):
        whole = [*side.prompt, *side.completion]
        said_so_far = [*prompt, *rest]
        if at == "decision":
            assert len(rest) == 1
            assert not same(won[:1], lost[:1])
        else:
            assert len(said_so_far) == len(whole)
        assert same(said_so_far, whole[: len(said_so_far)])


# An oracle: slow, and obviously right


def grouped(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of items: runs of the model's items, cut after token ids, each a message."""
    runs: list[list[dict[str, Any]]] = []
    for item in items:
        last = runs[-1] if runs else [{"role": "user"}]
        if not (_is_of_model(item) and _is_of_model(last[-1])) or _ends_call(last[-1]):
            runs.append([])
        runs[-1].append(item)
    for place in range(len(runs) - 1, 1, -1):  # a mere thought between a call and its output
        call, between, output = runs[place - 2], runs[place - 1], runs[place]
        if (
            _calls(call)
            and _is_of_model(between[0])
            and not _calls(between)
            and not _said(between)
            and output[0].get("type") == "function_call_output"
        ):
            runs[place - 2 : place] = [[*call, *between]]
    return [_message(run) for run in runs]


def _is_of_model(item: dict[str, Any]) -> bool:
    return item.get("role") == "assistant" or item.get("type") in ("reasoning", "function_call")


def _ends_call(item: dict[str, Any]) -> bool:
    return bool(item.get("generation_token_ids"))


def _calls(run: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in run if item.get("type") == "function_call"]


def _said(run: list[dict[str, Any]]) -> str:
    messages = [item for item in run if item.get("role") == "assistant"]
    return "".join(part["text"] for item in messages for part in item["content"])


def _message(run: list[dict[str, Any]]) -> dict[str, Any]:
    first = run[0]
    if first.get("type") == "function_call_output":
        return {
            "role": "tool", "content": first["output"], "tool_call_id": first["call_id"],
            "name": "calc",
        }  # fmt: skip
    if not _is_of_model(first):
        return first
    calls = [
        {"id": item["call_id"], "type": "function", "function": {"name": "calc", "arguments": {}}}
        for item in _calls(run)
    ]
    text = _said(run)
    thoughts = [item["summary"][0]["text"] for item in run if item.get("type") == "reasoning"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "" if calls and not text.strip() else text,
    }
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


@given(outputs())
def test_items_are_grouped_as_the_oracle_groups_them(output: list[Any]) -> None:
    found = outcome(line(*output), Reading())
    assume(isinstance(found, Conversation))
    assert isinstance(found, Conversation)
    ours = [*plain(found.prompt), *plain(found.completion)]
    assert _in_order_of_calls(ours) == _in_order_of_calls([ASKED, *grouped(output)])


def _in_order_of_calls(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the outputs of each run by id, for the oracle knows nothing of the order of calls."""
    ordered: list[dict[str, Any]] = []
    for message in messages:
        place = len(ordered)
        if message["role"] == "tool":
            while ordered[place - 1]["role"] == "tool" and (
                ordered[place - 1]["tool_call_id"] > message["tool_call_id"]
            ):
                place -= 1
        ordered.insert(place, message)
    return ordered


def test_the_oracle_groups_as_it_is_written() -> None:
    items = [thought("t"), called("a"), said("x"), answered("a"), said("4")]
    first, tool, last = grouped(items)
    assert (first["content"], first["reasoning_content"]) == ("x", "t")
    assert (tool["role"], last["content"]) == ("tool", "4")
    assert len(grouped([said("a", generation_token_ids=[1]), said("b")])) == 2
    assert len(grouped([called("a", generation_token_ids=[1]), thought("t"), answered("a")])) == 2
    assert Message("tool", "4", tool_call_id="a", name="calc").role == grouped(items)[1]["role"]
