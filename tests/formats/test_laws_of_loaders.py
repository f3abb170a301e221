"""Laws: what verl, LLaMA-Factory, Axolotl and ms-swift read of a record is what it was made of.

The readers here follow the loaders' sources; `tests/loaders` runs the loaders themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.checking.purpose import form_of
from gymrecipe.formats.example import Example
from gymrecipe.formats.llama_factory import BETWEEN_OUTPUTS
from gymrecipe.formats.models import axolotl, llama_factory, ms_swift, verl
from gymrecipe.registry import FORMATS, Purpose
from gymrecipe.rollouts.chat import UNUSABLE, Message, Unusable
from tests.formats.conversations import ACTED, FEW, PROMPT, TOOLS, examples

MODELS = {
    "axolotl": axolotl,
    "llama_factory": llama_factory,
    "ms_swift": ms_swift,
    "verl": verl,
}
PURPOSES = [(name, purpose) for name in MODELS for purpose in FORMATS[name].purposes]
SIDES = ("prompt", "completion", "chosen", "rejected")
Said = list[Any]

# What loaders look for in texts, here put into them.
MARKS = [
    "<tool_call>",
    "</tool_call>",
    "\n</tool_response>\n<tool_response>\n",
    "</think>\n",
    "</think>\n\n",
    "{{idx}}",
    "{{content}}",
    "{{QUERY}}",
    "{{ROUND0}}",
    "Action: f\nAction Input: {}",
    "◁think▷",
    "[[dummy_message]]",
]


def as_read(example: Example, name: str, marks: list[str]) -> Example:
    """The example as a write hands it to the format: thoughts in their place, pairs parted."""
    places = iter(marks)
    for side in SIDES:
        messages: list[Message] = getattr(example, side)
        if FORMATS[name].pairs_at == ("decision",) and side in ("chosen", "rejected"):
            messages = messages[:1]
        roles = [message.role for message in messages]
        if "user user" in " ".join(roles):
            messages = [m for place, m in enumerate(messages) if place != roles.index("user")]
        made = []
        for message in messages:
            content = message.content + next(places, "")
            thoughts = message.reasoning_content
            if thoughts and FORMATS[name].reasoning == "think_tags":
                content = f"<think>\n{thoughts}\n</think>\n\n{content}"
                thoughts = None
            made.append(
                msgspec.structs.replace(message, content=content, reasoning_content=thoughts)
            )
        setattr(example, side, made)
    return example


def said(message: Message) -> tuple[str, str, Any, Any]:
    """What must not change: role, text, thoughts, and the calls without their ids."""
    calls = [[c.function.name, c.function.arguments] for c in message.tool_calls or []]
    return message.role, message.content, message.reasoning_content or None, calls


def same(found: Said, messages: list[Message], name: str) -> None:
    expected = [list(said(message)) for message in messages]
    if name in ("llama_factory", "axolotl"):  # an empty system message may be none to them
        found, expected = without_empty(found), without_empty(expected)
    assert msgspec.json.encode(found, order="sorted") == msgspec.json.encode(
        expected, order="sorted"
    )


def without_empty(said: Said) -> Said:
    return said[said[:1] == [["system", "", None, []]] :]


def of_chat(messages: list[Any]) -> Said:
    found = []
    for message in messages:
        calls = [
            [
                call["function"]["name"],
                json.loads(arguments) if isinstance(arguments, str) else arguments,
            ]
            for call in message.get("tool_calls", [])
            for arguments in [call["function"]["arguments"]]
        ]
        found.append([message["role"], message["content"], message.get("reasoning_content"), calls])
    return found


def of_llama_factory(record: Any, purpose: Purpose) -> dict[str, Said]:
    """`SharegptDatasetConverter` and `FunctionFormatter` of 0.9.5."""
    asked, answered = ("human", "observation"), ("gpt", "function_call")
    turns = record["conversations"]
    assert all(turn["from"] in (asked, answered)[place % 2] for place, turn in enumerate(turns))
    ranked = purpose in ("dpo", "reward_model")
    assert len(turns) % 2 == ranked
    if purpose == "rl":
        assert turns.pop() == {"from": "gpt", "value": ""}
    system = [["system", record["system"], None, []]] if record["system"] else []
    found = {"whole": [*system, *(part for turn in turns for part in _of_turn(turn))]}
    for side in ("chosen", "rejected") if ranked else ():
        found[side] = list(_of_turn(record[side]))
    return found


def _of_turn(turn: Any) -> Iterator[Any]:
    value = turn["value"]
    if turn["from"] == "observation":
        for output in value.split(BETWEEN_OUTPUTS):
            yield ["tool", output, None, []]
    elif turn["from"] == "human":
        yield ["user", value.replace("{{idx}}", "0", 1), None, []]
    elif turn["from"] == "gpt":
        yield ["assistant", value, None, []]
    else:
        match = re.search(r"<tool_call>(.*?)</tool_call>", value, re.DOTALL)
        for thoughts in (r"<think>\n.*?\n</think>\n\n", r"<think>.*?</think>", "◁think▷"):
            assert match or not re.search(thoughts, value, re.DOTALL)
        text = value.replace(match[0], "") if match else ""
        if text and not text.endswith("</think>\n\n"):
            assert text.endswith("\n")
            text = text[:-1]
        calls = json.loads(match[1] if match else value)
        yield ["assistant", text, None, [[call["name"], call["arguments"]] for call in calls]]


def of_ms_swift(messages: list[Any]) -> Said:
    """`_check_messages`, `_preprocess_tool_call` and `_concat_context_list` of 4.6.0."""
    found: Said = []
    before = ""
    for message in messages:
        role, text = message["role"], message["content"]
        assert not (role == before == "user")
        if role == "tool_call":
            call = json.loads(text)
            if before not in ("assistant", "tool_call"):
                found.append(["assistant", "", None, []])
            found[-1][3].append([call["name"], call["arguments"]])
        else:
            assert not (role == "assistant" and before in ("assistant", "tool_call"))
            if role in ("user", "tool_response"):
                for place in ("{{SYSTEM}}", "{{QUERY}}", "{{ROUND0}}", "{{ROUND1}}"):
                    text = text.replace(place, "0")
            found.append([{"tool_response": "tool"}.get(role, role), text, None, []])
        before = role
    for one in found:
        calls = json.dumps(one[3], ensure_ascii=False)
        assert not ("Action:" in calls and "Action Input:" in calls)
    return found


def of_verl(record: Any, purpose: Purpose) -> dict[str, Said]:
    if purpose == "sft":
        return {"whole": of_chat(json.loads(record["messages"]))}
    if purpose == "rl":
        assert all(turn.keys() == {"role", "content"} for turn in record["prompt"])
        return {"whole": of_chat(record["prompt"])}
    return {
        "whole": [["user", record["prompt"], None, []]],
        "chosen": [["assistant", record["chosen"], None, []]],
        "rejected": [["assistant", record["rejected"], None, []]],
    }


def of_axolotl(record: Any, purpose: Purpose) -> dict[str, Said]:
    if purpose == "sft":
        return {"whole": of_chat(without_nulls(record["messages"]))}
    if purpose == "reward_model":
        system = [["system", record["system"], None, []]] if record["system"] else []
        return {
            "whole": [*system, ["user", record["input"], None, []]],
            "chosen": [["assistant", record["chosen"], None, []]],
            "rejected": [["assistant", record["rejected"], None, []]],
        }
    sides = ("chosen", "rejected") if purpose == "dpo" else ("completion",)
    kept = written_anew(record)
    found = {side: of_chat(kept[side]) for side in sides}
    return found | {"whole": of_chat(kept["prompt"])}


def without_nulls(value: Any) -> Any:
    """`remove_none_values` of Axolotl 0.19."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def written_anew(value: Any) -> Any:
    """What `datasets` does to integers in objects of different keys. What it does to floats (they
    keep about ten decimals) no file can prevent, and docs/formats.md says so.
    """
    if isinstance(value, dict):
        return {key: written_anew(item) for key, item in value.items()}
    if isinstance(value, list):
        return [written_anew(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise OverflowError
    return value


def read(name: str, record: Any, purpose: Purpose) -> dict[str, Said]:
    if name == "llama_factory":
        return of_llama_factory(record, purpose)
    if name == "verl":
        return of_verl(record, purpose)
    if name == "axolotl":
        return of_axolotl(record, purpose)
    found = {"whole": of_ms_swift(record["messages"])}
    if "rejected_messages" in record:
        found["other"] = of_ms_swift(record["rejected_messages"])
    return found


@pytest.mark.parametrize(("name", "purpose"), PURPOSES, ids=[f"{n}-{p}" for n, p in PURPOSES])
@FEW
@given(data=st.data())
def test_a_conversation_is_what_it_was_or_is_refused(
    name: str, purpose: Purpose, data: st.DataObject
) -> None:
    marks = data.draw(st.lists(st.just("") | st.sampled_from(MARKS), max_size=4))
    example = as_read(data.draw(examples(purpose)), name, marks)
    try:
        record = json.loads(msgspec.json.encode(FORMATS[name].function(example)))
    except Unusable as fault:
        refused = fault.reason
    else:
        refused = None
    if refused is not None:
        assert refused in UNUSABLE
        return
    form_of(record, MODELS[name].LINES[purpose]).model_validate(record)
    found = read(name, record, purpose)
    if "other" in found:
        same(found["whole"], [*example.prompt, *example.chosen], name)
        same(found["other"], [*example.prompt, *example.rejected], name)
    elif "chosen" in found or "completion" in found:
        same(found["whole"], example.prompt, name)
        for side in found.keys() - {"whole"}:
            same(found[side], getattr(example, side), name)
    else:
        same(found["whole"], [*example.prompt, *example.completion], name)
    tools = record.get("tools") or record.get("extra_info", {}).get("tools")
    if tools is not None or example.tools:
        assert json.loads(tools) == example.tools
    if purpose == "kto":
        assert record["kto_tag" if name == "llama_factory" else "label"] is example.label
    if (name, purpose) == ("ms_swift", "reward_model"):
        assert record["margin"] == example.margin


@pytest.mark.parametrize(("name", "purpose"), PURPOSES, ids=[f"{n}-{p}" for n, p in PURPOSES])
def test_most_plain_conversations_are_not_refused(name: str, purpose: Purpose) -> None:
    prompt = [Message("user", "hi")]
    example = Example(purpose, (), {}, prompt=prompt, label=True, margin=0.5)
    answer = [Message("assistant", "hello")]
    if purpose in ("dpo", "reward_model"):
        example.chosen, example.rejected = answer, [Message("assistant", "what")]
    elif purpose != "rl":
        example.completion = answer
    record = json.loads(msgspec.json.encode(FORMATS[name].function(example)))
    form_of(record, MODELS[name].LINES[purpose]).model_validate(record)
    assert not list(MODELS[name].traps(record, purpose))


@pytest.mark.parametrize("name", MODELS)
def test_parallel_calls_of_two_tools_and_thoughts_are_carried(name: str) -> None:
    example = as_read(
        Example("sft", (), {}, prompt=PROMPT, completion=ACTED, tools=TOOLS), name, []
    )
    record = json.loads(msgspec.json.encode(FORMATS[name].function(example)))
    same(read(name, record, "sft")["whole"], [*example.prompt, *example.completion], name)
    assert json.loads(record["tools"]) == TOOLS
