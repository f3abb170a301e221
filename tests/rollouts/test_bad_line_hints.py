"""What is said of a line that is no rollout beside its reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.rollouts.bad_line_hints import found_instead
from gymrecipe.rollouts.naming import sources
from tests.rollouts.conftest import Write, rollout

ASKED = [{"role": "user", "content": "2+2?"}]
CALL = {"role": "assistant", "tool_calls": [{"function": "calc"}]}


def said(path: str, offset: int, reason: str) -> str:
    (source,), _ = sources([path], False)
    return found_instead(source, offset, reason)


@pytest.mark.parametrize(
    ("line", "reason", "sentence"),
    [
        (
            {"prompt": "2+2?", "completion": "4"},
            "not_a_rollout",
            "It has `prompt`, `completion`; a rollout has `responses_create_params` and",
        ),
        ({}, "not_a_rollout", "It has no keys; a rollout has"),
        (dict.fromkeys("abcdefghij"), "not_a_rollout", "`g`, `h` and 2 more; a rollout has"),
        (
            {"messages": ASKED, "response": {"choices": []}},
            "no_response",
            "Its `response` has `choices`; one that is read is a text, a list of items, an object",
        ),
        ({"messages": ASKED}, "no_response", "It has `messages`; a rollout has"),
        (
            {"messages": ASKED, "output": {"choices": []}},
            "wrong_type",
            "Expected `str | array | null`, got `object` - at `$.output`.",
        ),
        (
            {"responses_create_params": {"input": [ASKED]}, "response": "4"},
            "wrong_type",
            "Expected `object`, got `array` - at `$.responses_create_params.input[0]`.",
        ),
        (
            {"messages": ASKED, "response": [CALL]},
            "wrong_type",
            "In an item of what came back: Expected `object`, got `str` - at `$[0].function`.",
        ),
    ],
    ids=str,
)
def test_a_line_is_told_by_what_it_has(
    line: dict[str, Any], reason: str, sentence: str, jsonl: Write
) -> None:
    path = jsonl(rollout(), line)
    offset = len(Path(path).read_bytes().partition(b"\n")[0]) + 1
    assert sentence in said(path, offset, reason)
    packed = Path(f"{path}.gz")
    packed.write_bytes(gzip.compress(Path(path).read_bytes()))
    assert said(str(packed), offset, reason) == said(path, offset, reason)


def test_a_first_line_behind_a_byte_order_mark_is_found(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + json.dumps({"detail": "boom"}).encode()
    for name, data in (("a.jsonl", text), ("a.jsonl.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(data)
        assert "It has `detail`;" in said(str(tmp_path / name), 3, "not_a_rollout")


def test_a_reason_that_says_enough_is_left_alone(jsonl: Write) -> None:
    assert said(jsonl(b"oops"), 0, "bad_json") == ""


def test_a_fault_in_a_part_that_nobody_read_is_not_told_of(jsonl: Write) -> None:
    assert said(jsonl(b'{"detail": NaN}'), 0, "not_a_rollout") == ""
    assert said(jsonl(b'{"output": {}, "detail": NaN}'), 0, "wrong_type") != ""
    assert said(jsonl(b'{"detail": NaN, "output": {}}'), 0, "wrong_type") == ""


def test_keys_of_any_length_stay_on_one_line(jsonl: Write) -> None:
    told = said(jsonl({"a\n" * 1000: 1}), 0, "not_a_rollout")
    assert "\n" not in told
    assert len(told) < 500
