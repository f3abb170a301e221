"""The parts of a line are the same whether its response is cut out first or not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gymrecipe.rollouts import known_fields as known_module
from gymrecipe.rollouts import response_span
from gymrecipe.rollouts.json_members import Repeated
from gymrecipe.rollouts.known_fields import Known

LONG = "x" * 2 * response_span.LEAST_BYTES


def line(answer: str = LONG, **more: Any) -> dict[str, Any]:
    response = {"output": [{"role": "assistant", "content": answer}], "model": "m"}
    return {"responses_create_params": {"input": "a"}, "response": response, "reward": 1.0, **more}


def raw(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


NESTED = {"responses_create_params": {"metadata": {"response": LONG, "reward": 0}}}
OTHERS = [
    line(),
    line(answer="short"),
    line(late=1),
    {"reward": 0.5, **line()},
    {**line(), "response": LONG},
    {**line(), "response": [{"role": "assistant", "content": LONG}]},
    {**line(), "response": None},
    {**line(), "response": {"output": [], "metadata": {"response": LONG}, "reward": 2}},
    line(metadata={"reward": LONG}),
    {**line(), **NESTED},
    {**NESTED, "reward": 1.0},
    {**NESTED, "response": None, "reward": 1.0},
    {"messages": [], "reward": 1.0},
    {},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: str(other)[:70])
def test_a_line_has_the_same_parts_after_any_other_ones(other: dict[str, Any]) -> None:
    fresh, used = Known(frozenset()), Known(frozenset())
    used.values(raw(line()))
    for value in (other, line(), other):
        parts = dict(zip(used.slots, used.values(raw(value)), strict=True))
        expected = dict(zip(fresh.slots, fresh.values(raw(value)), strict=True))
        assert {name: parts[name] for name in expected} == expected
        fresh = Known(frozenset())


def test_a_response_is_cut_out_where_it_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(frozenset())
    known.values(raw(line()))
    monkeypatch.setattr(response_span.Cut, "learn", lambda *_: pytest.fail("read twice"))
    known.values(raw(line(answer=LONG + LONG)))


@pytest.mark.parametrize(
    "twice",
    [
        b'{"reward": 0, ' + raw(line())[1:],
        raw(line())[:-1] + b', "reward": 1.0}',
        raw(line())[:-1] + b', "response": null}',
        raw(line()).replace(b', "reward"', b', "response": {"output": []}, "reward"'),
        raw(line()).replace(b', "reward"', b', "reward": 0, "reward"'),
        raw(line()).replace(b', "reward"', b', "responses_create_params": {}, "reward"'),
        b'{"response": %b, ' % json.dumps({"output": [LONG]}).encode() + raw(line())[1:],
    ],
    ids=lambda text: repr(text[:40] + text[-60:]),
)
def test_a_key_twice_is_seen_whether_the_response_is_cut_out_or_not(twice: bytes) -> None:
    known = Known(frozenset())
    for _ in range(2 * response_span.MISSES):
        with pytest.raises(Repeated):
            known.values(twice)
        known.values(raw(line()))


def test_a_key_twice_is_seen_however_little_else_is_to_spare() -> None:
    known = Known(frozenset())
    spaced, bare = raw(line()), msgspec.json.encode(line())
    for text in (spaced, bare):
        known.values(text)
    room = len(spaced) - len(bare) - len(b'"reward":,')
    with pytest.raises(Repeated):
        known.values(bare[:-1] + b',"reward":' + b"1" * max(room, 1) + b"}")


def test_a_key_twice_is_seen_where_it_takes_the_place_of_the_white_space() -> None:
    known = Known(frozenset())
    known.values(b'{"a": 1, "b": 2, "c": 3, "d": 4}')
    for twice in (b'{"a":1, "b":2,"c":3,"d":4,"a":1}', b'{"a":1,"b":2,"c":3,"d":4, "a":9}'):
        with pytest.raises(Repeated):
            known.values(twice)
    unusual = b'{"a":1 ,"b":2 ,"c":3 ,"d":4   }'
    assert [bytes(part) for part in known.values(unusual)[-4:]] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("spelled", [raw, msgspec.json.encode])
def test_the_keys_of_usual_lines_are_not_looked_at_one_by_one(
    spelled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "members", lambda _: pytest.fail("read twice"))
    known = Known(frozenset())
    for value in (line(), line(answer="short"), {"reward": 0.5, "\u00e4": 1}):
        for _ in range(2):
            known.values(spelled(value))


def test_what_is_no_json_is_an_error_whether_it_is_in_the_response_or_beside_it() -> None:
    known = Known(frozenset())
    known.values(raw(line()))
    for broken in (raw(line()).replace(b"model", b'mo"del'), raw(line())[:-1], b"[]"):
        with pytest.raises(msgspec.DecodeError):
            known.values(broken)


def test_where_responses_are_is_not_guessed_forever() -> None:
    known = Known(frozenset())
    assert known._cut.place(raw(line())) is None
    for _ in range(response_span.MISSES):
        known.values(raw(line()))
        assert known._cut.place(raw(line())) is not None
        known.values(raw(line(metadata={"a": 1, "reward": 0})))
    assert known._cut.place(raw(line())) is None
