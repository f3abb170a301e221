"""Conversations drawn for the laws of the formats, and one with all that there is."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from gymrecipe.formats.example import Example
from gymrecipe.registry import Purpose
from gymrecipe.rollouts.chat import Function, Message, ToolCall
from tests.full import few

FEW = few(2)
"""For what is tried with every format and purpose."""

ODD = ["", " ", "\n", "a\n", "null", "[]", '{"a":1}', "2024-01-01", "<think>", "</tools>", "\u2028"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(ODD)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text("abcxyz", max_size=3), VALUES, max_size=3)
PARAMETERS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": ARGUMENTS},
    optional={"required": st.lists(TEXTS, max_size=2), "additionalProperties": st.booleans()},
)


@st.composite
def tools(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(["f", "g", "h"]), unique=True, max_size=3))
    return [
        {"type": "function", "function": {"name": name, "parameters": draw(PARAMETERS)}}
        for name in names
    ]


@st.composite
def answer(draw: st.DrawFn, ids: list[str], may_call: bool = True) -> list[Message]:
    """One answer of the model, and the outputs of its calls."""
    number = draw(st.integers(0, 3)) if may_call else 0
    calls = []
    for _ in range(number):
        ids.append(f"call_{len(ids)}")
        name = draw(st.sampled_from(["f", "g"]))
        calls.append(ToolCall(id=ids[-1], function=Function(name, draw(ARGUMENTS))))
    text = draw(TEXTS) if calls else draw(TEXTS.filter(str.strip))
    said = Message("assistant", text, draw(st.none() | TEXTS.filter(bool)), calls or None)
    outputs = [
        Message("tool", draw(TEXTS), tool_call_id=call.id, name=call.function.name)
        for call in calls
    ]
    return [said, *outputs]


@st.composite
def completions(draw: st.DrawFn, ids: list[str]) -> list[Message]:
    turns: list[Message] = []
    for _ in range(draw(st.integers(0, 2))):
        turns += draw(answer(ids))
        if turns[-1].role == "assistant":
            turns.append(Message("user", draw(TEXTS)))
    return turns + draw(answer(ids, may_call=False))


@st.composite
def examples(draw: st.DrawFn, purpose: Purpose) -> Example:
    """An example of any kind that the purpose has."""
    ids: list[str] = []
    system = [Message("system", draw(TEXTS))] if draw(st.booleans()) else []
    earlier = draw(completions(ids)) if draw(st.booleans()) else []
    prompt = [*system, Message("user", "hi"), *earlier, Message("user", draw(TEXTS))]
    example = Example(purpose, (), {}, prompt=prompt, tools=draw(st.none() | tools()))
    if purpose in ("dpo", "reward_model"):
        example.chosen = draw(completions(ids))
        example.rejected = draw(completions(ids))
        example.margin = draw(st.floats(0, 1))
    elif purpose != "rl":
        example.completion = draw(completions(ids))
    if purpose == "kto":
        example.label = draw(st.booleans())
    elif purpose == "buffer":
        example.reward = draw(st.floats(-10, 10))
    elif purpose == "rl":
        fields = draw(st.dictionaries(st.sampled_from(["answer", "id"]), VALUES))
        example.verifier = {k: msgspec.Raw(msgspec.json.encode(v)) for k, v in fields.items()}
        example.request = msgspec.Raw(b'{"input":"hi"}')
        example.agent = "an_agent"
    return example


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "description": "Finds é.",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
]
FIND = ToolCall(
    id="c1", function=Function("find", {"q": "é", "n": 1e22, "w": 2**53 + 1, "x": None})
)
NOW = ToolCall(id="c2", function=Function("now", {}))
PROMPT = [Message("system", "Be brief."), Message("user", "Where?")]
ACTED = [
    Message("assistant", "", "Hm.", [FIND, NOW]),
    Message("tool", "here", tool_call_id="c1", name="find"),
    Message("tool", "12:00", tool_call_id="c2", name="now"),
    Message("assistant", "Here."),
]
"""Parallel calls of two tools with different parameters, thoughts, and the last answer."""
