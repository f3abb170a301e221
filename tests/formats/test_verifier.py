"""What a verifier gets: the fields that say what was asked."""

import json
from typing import Any

import pytest

from gymrecipe.formats.verifier import agent_of, fields_of, is_row_of, request_of

LINE = json.dumps(
    {
        "responses_create_params": {"input": "2+2?", "temperature": 1.0},
        "response": {"output": []},
        "reward": 1.0,
        "expected_answer": "4",
        "extracted_answer": "4",
        "meta": {"n": 1.50},
        "_ng_task_index": 3,
        "agent_ref": {"name": "mathematician"},
    }
).encode()


def plain(line: bytes, is_input: bool, asked: tuple[str, ...] | None = None) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in fields_of(line, is_input, asked).items()}


def test_a_rollout_gives_what_was_asked_and_nothing_of_how_it_went() -> None:
    assert plain(LINE, is_input=False) == {"expected_answer": b'"4"'}


def test_an_input_row_gives_all_but_the_request_and_what_the_collector_adds() -> None:
    found = plain(LINE, is_input=True)
    assert found.keys() == {"expected_answer", "extracted_answer", "meta"}


def test_fields_that_are_named_are_taken_as_they_stand_and_a_missing_one_is_null() -> None:
    assert plain(LINE, False, ("meta.n", "gone")) == {"n": b"1.5", "gone": b"null"}


def test_a_field_has_the_last_key_of_its_path() -> None:
    line = b'{"field": {"a.b": 1}, "odd key": {"x": 2}}'
    asked = ('field["field"]["a.b"]', 'field["odd key"]["x"]')
    assert plain(line, False, asked) == {"a.b": b"1", "x": b"2"}


def line_of(asks: Any) -> bytes:
    return json.dumps({"responses_create_params": {"input": asks}}).encode()


@pytest.mark.parametrize(
    ("row", "rollout", "same"),
    [
        ("2+2?", [{"type": "message", "role": "user", "content": "2+2?", "id": None}], True),
        (
            "Play.",
            [{"role": "user", "content": "Play."}, {"role": "user", "content": "A 7."}],
            True,
        ),
        ([{"role": "user", "content": [{"type": "input_text", "text": "a"}]}], "a", True),
        ([], "2+2?", True),
        ("2+2?", [], True),
        ("2+2?", "2+3?", False),
        ([{"role": "system", "content": "2+2?"}], "2+2?", False),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "a", False),
        (5, "2+2?", False),
    ],
)
def test_an_input_row_is_that_of_a_rollout_which_begins_with_what_it_asks(
    row: Any, rollout: Any, same: bool
) -> None:
    assert is_row_of(line_of(row), line_of(rollout)) is same


def test_the_request_is_carried_over_byte_for_byte() -> None:
    assert json.loads(bytes(request_of(LINE))) == {"input": "2+2?", "temperature": 1.0}
    assert bytes(request_of(b"{}")) == b"null"


def test_the_agent_is_its_name_where_it_is_a_text() -> None:
    assert agent_of(LINE) == "mathematician"
    assert agent_of(b'{"agent_ref": {"name": 5}}') is None
    assert agent_of(b"{}") is None
