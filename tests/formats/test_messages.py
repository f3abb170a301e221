"""The format `messages`: OpenAI chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gymrecipe.formats.example import Example
from gymrecipe.formats.guide import Written
from gymrecipe.formats.messages import guide, messages
from gymrecipe.rollouts.chat import Function, Message, ToolCall, Unusable

ASKED = Message("user", "2+2?")
SAID = Message("assistant", "4")


def plain(example: Example) -> Any:
    return json.loads(msgspec.json.encode(messages(example)))


def test_a_demonstration_is_one_list_of_messages() -> None:
    example = Example("sft", (b"",), {"reward": 1.0}, prompt=[ASKED], completion=[SAID])
    assert plain(example) == {
        "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
        "reward": 1.0,
    }


def test_a_pair_is_a_prompt_and_two_answers() -> None:
    example = Example("dpo", (b"", b""), {"reward_gap": 0.5}, prompt=[ASKED], chosen=[SAID])
    assert list(plain(example)) == ["prompt", "chosen", "rejected", "reward_gap"]


def test_a_scored_trajectory_has_its_reward() -> None:
    example = Example("buffer", (b"",), {}, prompt=[ASKED], completion=[SAID], reward=0.25)
    assert plain(example)["reward"] == 0.25


def test_a_trajectory_without_a_reward_is_not_a_scored_one() -> None:
    with pytest.raises(Unusable, match="missing_reward"):
        messages(Example("buffer", (b"",), {}, prompt=[ASKED], completion=[SAID]))


def test_arguments_are_json_text() -> None:
    call = ToolCall(id="a", function=Function("f", {"x": 1e22, "y": 2**53 + 1}))
    turn = Message("assistant", "", tool_calls=[call])
    found = plain(Example("sft", (b"",), {}, completion=[turn]))["messages"][0]["tool_calls"][0]
    assert found["type"] == "function"
    assert json.loads(found["function"]["arguments"]) == {"x": 1e22, "y": 2**53 + 1}


def test_the_example_keeps_its_objects() -> None:
    turn = Message("assistant", "", tool_calls=[ToolCall(id="a", function=Function("f", {}))])
    messages(Example("sft", (b"",), {}, completion=[turn]))
    assert turn.tool_calls is not None
    assert turn.tool_calls[0].function.arguments == {}


def test_token_ids_stay_beside_calls() -> None:
    call = ToolCall(id="a", function=Function("f", {}))
    turn = Message("assistant", "", tool_calls=[call], generation_token_ids=[7, 8])
    found = plain(Example("buffer", (b"",), {}, completion=[turn], reward=1.0))["messages"][0]
    assert found["generation_token_ids"] == [7, 8]


def test_tools_are_a_column_only_where_the_dataset_has_tools() -> None:
    assert "tools" not in plain(Example("sft", (b"",), {}, completion=[SAID]))
    assert plain(Example("sft", (b"",), {}, completion=[SAID], tools=[]))["tools"] is None


def test_the_lines_of_the_guide_read_every_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(f"{name}.jsonl").write_text(json.dumps({"messages": name}) + "\n")
    files = {"train": ["a.jsonl", "b.jsonl"]}
    ((_, text),) = guide(Written("sft", "mine", ".", files, True, False, 100)).load
    found: dict[str, Any] = {}
    exec(text, found)
    assert found["rows"] == [{"messages": "a"}, {"messages": "b"}]


def test_the_lines_of_the_guide_read_parquet_as_parquet() -> None:
    files = {"train": ["a.parquet", "b.parquet"]}
    made = guide(Written("dpo", "mine", ".", files, True, False, 100))
    assert "load_dataset(\"parquet\", data_files=['a.parquet', 'b.parquet']" in made.load[0][1]
    assert "null" in made.notes[0]
