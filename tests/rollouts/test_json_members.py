"""Keys that stand twice in an object: all of them are seen, wherever they are."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts.json_members import Repeated, Told, member, members, repeats

KEYS = st.sampled_from(["a", "b", "", ":", '",', "\\", "é\u2028", '"a":1,'])
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | KEYS,
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple),
    max_leaves=12,
)  # fmt: skip
"""JSON values whose objects are tuples of pairs, in which keys may stand twice."""


def text(value: Any, ascii: bool, comma: str, colon: str) -> str:
    if isinstance(value, tuple):
        parts = (
            json.dumps(k, ensure_ascii=ascii) + colon + text(v, ascii, comma, colon)
            for k, v in value
        )
        return "{" + comma.join(parts) + "}"
    if isinstance(value, list):
        return "[" + comma.join(text(part, ascii, comma, colon) for part in value) + "]"
    return json.dumps(value, ensure_ascii=ascii)


def has_twice(value: Any) -> bool:
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(has_twice(part) for _, part in value)
    return isinstance(value, list) and any(map(has_twice, value))


@given(VALUES, st.booleans(), st.sampled_from([",", ", ", " ,\t"]), st.sampled_from([":", ": "]))
def test_a_key_twice_is_seen_in_every_spelling_and_nothing_else_is(
    value: Any, ascii: bool, comma: str, colon: str
) -> None:
    raw = text(value, ascii, comma, colon).encode()
    assert repeats(raw, msgspec.json.decode(raw)) == has_twice(value)


def test_all_members_are_told_in_their_order() -> None:
    found = members(b'{"b": 1, "a": 2, "b": 3, "\\u0062": 4}')
    assert [(str(key), bytes(value)) for key, value in found.items()] == [
        ("b", b"1"), ("a", b"2"), ("b", b"3"), ("b", b"4"),
    ]  # fmt: skip


def test_a_member_is_the_one_of_its_key_whatever_else_stands_twice() -> None:
    raw = b'{"a": 1, "b": 2, "b": 3}'
    assert member(raw, "c") is None
    assert bytes(member(raw, "a") or b"") == b"1"
    with pytest.raises(Repeated):
        member(raw, "b")


def test_an_object_is_gone_through_once_for_all_keys_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = 0

    def counting(raw: bytes) -> Any:
        nonlocal times
        times += 1
        return members(raw)

    monkeypatch.setattr("gymrecipe.rollouts.json_members.members", counting)
    told = Told()
    for line in (b'{"a":1,"b":2,"c":3,"c":4}', b'{"a":5}'):
        assert [told.member(line, key) for key in "aba"] == [member(line, key) for key in "aba"]
        if b'"c"' in line:
            with pytest.raises(Repeated, match="'c' twice"):
                told.member(line, "c")
    assert times == 2 + 6
