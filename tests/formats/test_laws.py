"""Laws: what a format wrote, read back as its trainer reads it, is what it was given."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gymrecipe.check import forms
from gymrecipe.formats.example import Example
from gymrecipe.formats.models import messages, nemo_rl, openrlhf, trl
from gymrecipe.formats.nemo_rl import HEAD
from gymrecipe.formats.template import Template
from gymrecipe.registry import FORMATS, Purpose, is_ours
from gymrecipe.rollouts.chat import UNUSABLE, Message, Unusable
from tests.formats.conversations import FEW, examples

MODELS = {
    "messages": messages,
    "trl": trl,
    "trl_prompt_completion": trl,
    "nemo_rl": nemo_rl,
    "openrlhf": openrlhf,
}
PURPOSES = [(name, purpose) for name in MODELS for purpose in FORMATS[name].purposes]
Read = dict[str, Any]


def turns(messages: list[Message]) -> list[Any]:
    return msgspec.to_builtins(messages)  # type: ignore[no-any-return]


def given_as(example: Example) -> Read:
    """What there is to find in a record: the two or three lists of messages, tools, figures."""
    whole: Read = {"prompt": turns(example.prompt), "tools": example.tools or []}
    if example.purpose in ("dpo", "reward_model"):
        whole |= {"chosen": turns(example.chosen), "rejected": turns(example.rejected)}
    elif example.purpose != "rl":
        whole["completion"] = turns(example.completion)
    return whole


def read(name: str, record: Read, example: Example) -> Read:
    """The same out of a record, by the rules of the trainer's loader."""
    found: Read = {"tools": record.get("tools") or []}
    if name.startswith("trl") and isinstance(record.get("tools"), str):
        found["tools"] = json.loads(record["tools"])
    if "context" in record:
        ranked = sorted(record["completions"], key=lambda one: one["rank"])
        record = {"prompt": record["context"], "chosen": ranked[0]["completion"]} | {
            "rejected": ranked[1]["completion"]
        }
        found["tools"], record["prompt"] = unfolded(record["prompt"])
    whole = record.get("messages") or (record.get("input") if example.purpose == "sft" else None)
    if whole is not None:
        cut = len(example.prompt)
        record = record | {"prompt": whole[:cut], "completion": whole[cut:]}
    if example.purpose == "rl":
        record = record | {"prompt": record.get("input", record.get("prompt"))}
    for side in ("prompt", "completion", "chosen", "rejected"):
        if side in record:
            found[side] = decoded(record[side]) if name == "messages" else record[side]
    return found


def decoded(messages: list[Any]) -> list[Any]:
    """The messages with the JSON text of arguments read, as a client of the OpenAI API does."""
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def unfolded(context: list[Any]) -> tuple[list[Any], list[Any]]:
    """The tools that NeMo RL's context tells of in its system message, and the context without."""
    text = context[0]["content"] if context[0]["role"] == "system" else ""
    before, head, after = text.rpartition(f"{HEAD}\n<tools>\n")
    if not head:
        return [], context
    tools = [json.loads(line) for line in after.removesuffix("\n</tools>").split("\n")]
    rest = [{"role": "system", "content": before.removesuffix("\n\n")}] if before else []
    return tools, [*rest, *context[1:]]


@pytest.mark.parametrize(("name", "purpose"), PURPOSES, ids=[f"{n}-{p}" for n, p in PURPOSES])
@FEW
@given(data=st.data())
def test_a_conversation_is_what_it_was_or_is_refused(
    name: str, purpose: Purpose, data: st.DataObject
) -> None:
    example = data.draw(examples(purpose))
    try:
        record = json.loads(msgspec.json.encode(FORMATS[name].function(example)))
    except Unusable as fault:
        refused = fault.reason
    else:
        refused = None
    if refused is not None:
        assert refused in UNUSABLE
        return
    if (name, purpose) == ("nemo_rl", "rl"):
        assert record.pop("responses_create_params") == {"input": "hi"}
        assert record.pop("agent_ref")["name"] == "an_agent"
        assert record == {k: json.loads(bytes(v)) for k, v in example.verifier.items()}
        return
    expected = given_as(example)
    if purpose == "rl":
        text = record["label" if name == "openrlhf" else "verifier"]
        assert json.loads(text) == {k: json.loads(bytes(v)) for k, v in example.verifier.items()}
    found = read(name, record, example)
    if name == "nemo_rl" and purpose != "sft":
        without_empty(found), without_empty(expected)
    assert msgspec.json.encode(found, order="sorted") == msgspec.json.encode(
        expected, order="sorted"
    )
    for key in ("label", "margin", "reward"):
        value = getattr(example, key)
        if value is not None and key in record:
            assert record[key] == value
            assert type(record[key]) is type(value)


def without_empty(read: Read) -> None:
    """An empty system message and none look the same once tools are folded in."""
    if read["prompt"] and read["prompt"][0] == {"role": "system", "content": ""}:
        del read["prompt"][0]


@pytest.mark.parametrize(("name", "purpose"), PURPOSES, ids=[f"{n}-{p}" for n, p in PURPOSES])
@FEW
@given(data=st.data())
def test_what_a_format_writes_is_what_check_accepts(
    name: str, purpose: Purpose, data: st.DataObject
) -> None:
    example = data.draw(examples(purpose))
    try:
        record = json.loads(msgspec.json.encode(FORMATS[name].function(example)))
    except Unusable:
        return
    model = next(
        one
        for one in forms(MODELS[name].LINES[purpose])
        if all(key in record for key, info in one.model_fields.items() if info.is_required())
    )
    model.model_validate(record)


def test_every_purpose_is_some_formats() -> None:
    assert {purpose for _, purpose in PURPOSES} == set(get_args(Purpose))


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        (name, purpose)
        for name, entry in FORMATS.items()
        for purpose in entry.purposes
        if is_ours(entry) and name not in ("raw", "custom")
    ],
)
def test_token_ids_are_in_the_rows_of_purposes_that_have_a_place_for_them(
    name: str, purpose: Purpose
) -> None:
    said, asked = Message("assistant", "4", generation_token_ids=[7]), Message("user", "2+2?")
    is_text = purpose == "reward_model" and name in ("axolotl", "verl")
    example = Example(
        purpose,
        (),
        {},
        prompt=[asked] if is_text else [asked, said, asked],
        completion=[said],
        chosen=[said],
        rejected=[Message("assistant", "5")],
        request=Raw(b'{"input":"2+2?"}'),
        agent="agent",
        reward=1.0,
        template=Template("{% for one in messages %}{{ one.content }}{% endfor %}", None, ""),
    )
    row = msgspec.json.encode(FORMATS[name].function(example))
    assert (b"token_ids" in row) == (purpose not in FORMATS[name].without_ids)
