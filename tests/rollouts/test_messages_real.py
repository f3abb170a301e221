"""What becomes of every real rollout: right examples, listed reasons, and nothing altered.

The table of the files is printed: `pytest -rP tests/rollouts/test_messages_real.py -k table`.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gymrecipe.rollouts import lines
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE, Conversation, Message, Reading, Unusable
from gymrecipe.rollouts.lines import decode, halves_of
from gymrecipe.rollouts.messages import USUAL, asked, conversation


def real_lines(file: Path) -> list[bytes]:
    return [text for text in file.read_bytes().split(b"\n") if text]


def files(real: Path) -> list[Path]:
    found = sorted(real.glob("*.jsonl"))
    assert len(found) > 30
    return found


def outcomes(file: Path, reading: Reading = USUAL) -> tuple[list[Conversation], Counter[str]]:
    used, reasons = [], Counter[str]()
    for text in real_lines(file):
        try:
            used.append(conversation(text, reading))
        except Unusable as fault:
            reasons[fault.reason] += 1
    return used, reasons


def table(rows: list[tuple[str, int, int, Counter[str]]]) -> str:
    """File, lines in, examples out, and how many were rejected for what."""
    text = [f"{'file':<50} {'in':>4} {'out':>4}  rejected"]
    for name, read, used, reasons in rows:
        why = " · ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        text.append(f"{name[:50]:<50} {read:>4} {used:>4}  {why}")
    return "\n".join(text)


def test_every_real_line_is_a_row_of_the_table(real: Path) -> None:
    rows, total = [], Counter[str]()
    for file in files(real):
        used, reasons = outcomes(file)
        read = len(real_lines(file))
        assert read == len(used) + reasons.total()
        rows.append((file.stem, read, len(used), reasons))
        total += reasons
    read, used_of_all = (sum(row[place] for row in rows) for place in (1, 2))
    print(table([*rows, ("all", read, used_of_all, total)]))  # type: ignore[list-item]
    assert total.keys() <= UNUSABLE.keys() | BAD_LINE.keys()
    assert used_of_all > 0.75 * read  # type: ignore[operator]


@pytest.mark.parametrize(
    "reading",
    [
        USUAL,
        Reading(missing_tools="keep", truncated="keep", token_ids="keep"),
        Reading(ending="trim", unanswered_calls="trim", missing_tools="keep"),
        Reading(system="drop", reasoning="think_tags", developer="keep"),
    ],
    ids=["usual", "lenient", "trimmed", "rewritten"],
)
def test_every_example_of_real_rollouts_is_right(real: Path, reading: Reading) -> None:
    for file in files(real):
        for found in outcomes(file, reading)[0]:
            check_right([*found.prompt, *found.completion], reading)
            assert found.prompt[-1].role in ("user", "tool")
            assert found.completion[0].role == "assistant"
            assert found.completion[-1].content.strip()


def check_right(messages: list[Message], reading: Reading) -> None:
    first = ("system", "developer", "user") if reading.developer == "keep" else ("system", "user")
    assert messages[0].role in first
    assert messages[-1].role == "assistant"
    assert [m.role for m in messages].count("system") <= 1
    waiting: list[tuple[str, str]] = []
    ids: set[str] = set()
    for message in messages:
        if message.role == "tool":
            assert (message.tool_call_id, message.name) == waiting.pop(0)
            continue
        assert not waiting
        for call in message.tool_calls or []:
            assert call.id not in ids
            ids.add(call.id)
            waiting.append((call.id, call.function.name))
            assert isinstance(call.function.arguments, dict)
    assert not waiting


def test_the_prompt_alone_is_the_prompt_of_the_example(real: Path) -> None:
    compared = 0
    for file in files(real):
        for text in real_lines(file):
            try:
                found = conversation(text)
            except Unusable:
                continue
            assert asked(text) == (found.prompt, found.tools)
            compared += 1
    assert compared > 150


def test_a_decoded_line_has_the_shape_of_the_undecoded_one(real: Path) -> None:
    """The table and the messages are made of the same items."""
    compared = 0
    for file in files(real):
        for text in real_lines(file):
            raw, whole = halves_of(decode(text)), halves_of(lines.whole(json.loads(text)))
            assert values(raw) == values(whole)
            compared += raw is not None
    assert compared > 200


def values(part: Any) -> Any:
    """A shape as plain values, whichever way its parts are held."""
    if isinstance(part, msgspec.Raw):
        return json.loads(bytes(part))
    if isinstance(part, msgspec.Struct):
        return {name: values(getattr(part, name)) for name in part.__struct_fields__}
    return [values(item) for item in part] if isinstance(part, list) else part


# Nothing altered


def exactly(text: bytes) -> Any:
    """JSON with its integers told from its floats, which Python would call equal."""
    return json.loads(text, parse_float=lambda number: ("float", float(number)))


def spoken(source: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a line of NeMo Gym's shape, walked without the code under test."""
    given = source["responses_create_params"]["input"]
    given = [{"role": "user", "content": given}] if isinstance(given, str) else given
    output = source["response"]["output"]
    return [*given, *(output[-1] if output and isinstance(output[-1], list) else output)]


def written(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", part.get("refusal")) for part in content or [])


def carries(whole: str, pieces: list[str]) -> bool:
    """Whether a text is these pieces, with nothing but white space before, between and after."""
    place = 0
    for piece in pieces:
        found = whole.find(piece, place)
        if found < 0 or whole[place:found].strip():
            return False
        place = found + len(piece)
    return not whole[place:].strip()


def test_carries_sees_what_is_lost_changed_or_added() -> None:
    assert carries("\na b\n", ["a", "b"])
    assert not any(carries(text, ["a", "b"]) for text in ("a", "b a", "a x b", "a b c"))


def test_every_text_and_number_of_real_rollouts_is_carried_over(real: Path) -> None:
    checked: Counter[str] = Counter()
    for file in files(real):
        for text in real_lines(file):
            try:
                found = conversation(text, Reading(missing_tools="keep", token_ids="keep"))
            except Unusable:
                continue
            compare(exactly(text), exactly(msgspec.json.encode(found)), checked)
    assert checked["calls"] > 300
    assert checked["thoughts"] > 100
    assert checked["schemas"] > 300


def compare(source: dict[str, Any], found: dict[str, Any], checked: Counter[str]) -> None:
    items, messages = spoken(source), [*found["prompt"], *found["completion"]]
    calls = [item for item in items if item.get("type") == "function_call"]
    assert [call for m in messages for call in m.get("tool_calls", [])] == [
        {
            "id": item["call_id"],
            "type": "function",
            "function": {
                "name": item["name"],
                "arguments": exactly(item["arguments"].encode()),
            },
        }
        for item in calls
    ]
    checked["calls"] += len(calls)
    assert {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"} == {
        item["call_id"]: item["output"]
        for item in items
        if item.get("type") == "function_call_output"
    }
    thoughts = [
        part["text"]
        for item in items
        if item.get("type") == "reasoning"
        for part in item.get("summary") or item.get("content") or []
        if part["text"]
    ]
    assert carries("\n".join(m.get("reasoning_content", "") for m in messages), thoughts)
    checked["thoughts"] += len(thoughts)
    request = source["responses_create_params"]
    for role in ("system", "user", "assistant"):
        asks = [request.get("instructions") or ""] if role == "system" else []
        roles = ("system", "developer") if role == "system" else (role,)
        texts = asks + [written(item["content"]) for item in items if item.get("role") in roles]
        if role == "user" and not request["input"]:
            texts = [(request.get("metadata") or {}).get("problem_statement", ""), *texts]
        said = "\n".join(m["content"] for m in messages if m["role"] == role)
        assert carries(said, [piece for piece in texts if piece.strip()])
        checked[role] += len(texts)
    schemas = request.get("tools") or source["response"].get("tools") or []
    hidden = ("type", "strict")
    assert [tool["function"] for tool in found["tools"]] == [
        {key: value for key, value in tool.items() if key not in hidden and value is not None}
        for tool in schemas
    ]
    checked["schemas"] += len(schemas)
    for name in ("prompt_token_ids", "generation_token_ids", "generation_log_probs"):
        kept = [m[name] for m in messages if name in m]
        assert kept == [item[name] for item in items if item.get(name)]
