"""The format `raw`."""

from __future__ import annotations

import json

import msgspec

from gymrecipe.formats.example import Example
from gymrecipe.formats.raw import raw

LINE = b'{"reward":  1.50, "n": 12345678901234567890123, "e": "\\u00e9"}'


def test_a_line_stays_byte_for_byte() -> None:
    assert raw(Example("sft", (LINE + b"\r",), {})) == LINE + b"\r"


def test_a_pair_holds_both_lines_as_they_stand() -> None:
    text = msgspec.json.encode(raw(Example("dpo", (LINE, b'{"a":1}'), {"reward_gap": 0.5})))
    assert text == b'{"chosen":' + LINE + b',"rejected":{"a":1},"reward_gap":0.5}'


def test_no_white_space_ends_the_line_of_a_pair_for_a_reader() -> None:
    text = msgspec.json.encode(raw(Example("dpo", (b'{"a":\r1}\r', b"{}\r"), {})))
    assert b"\r" not in text
    assert json.loads(text) == {"chosen": {"a": 1}, "rejected": {}}


def test_a_pair_for_a_reward_model_has_its_margin() -> None:
    text = msgspec.json.encode(raw(Example("reward_model", (b"{}", b"{}"), {}, margin=1.0)))
    assert text == b'{"chosen":{},"rejected":{},"margin":1.0}'


def test_a_labelled_line_stands_beside_its_label() -> None:
    text = msgspec.json.encode(raw(Example("kto", (LINE,), {}, label=True)))
    assert text == b'{"rollout":' + LINE + b',"label":true}'
