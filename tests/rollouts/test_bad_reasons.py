"""Why a line that is no rollout is bad, and where it is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gymrecipe.errors import DataError
from gymrecipe.rollouts.bad_reasons import BAD_LINE, why_bad
from tests.rollouts.conftest import read, rollout

GOOD = json.dumps(rollout()).encode()
SMALL = b'{"responses_create_params": {"input": "a"}, "response": {"output": "b"}, "reward": %s}'

BAD = {
    "blank": [b"", b" \t ", b"\r"],
    "not_utf8": [SMALL % b'"\xff"', SMALL % b'"\xed\xa0\x80"', SMALL % b'"\xc0\xaf"'],
    "bad_json": [
        b"<PLACEHOLDER ROW>",
        b"{",
        b'{"a": 1,}',
        b"{'a': 1}",
        SMALL % b"01",
        SMALL % b"+1",
        SMALL % b".5",
        SMALL % b"0x1",
        SMALL % b'"\\q"',
        GOOD[:-1],
        "﻿".encode() + GOOD,
        b"\x00" * 40,
        GOOD.decode().encode("utf-16-le"),
    ],
    "trailing_data": [GOOD + GOOD, GOOD + b" x", GOOD + b","],
    "non_finite": [
        SMALL % value
        for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"9" * 5000)
    ],
    "duplicate_key": [
        SMALL % b'1, "reward": 1',
        SMALL % b'1, "r\\u0065ward": 2',
        SMALL % b'1, "response": {"output": "c"}',
        SMALL % b'1, "agent_ref": {"name": "a", "name": "b"}',
        SMALL % b'1, "instance_config": {"mask_sample": true, "mask_sample": false}',
        b'{"responses_create_params": {"input": "a", "input": "b"}, "response": {"output": "c"}}',
    ],
    "int_precision": [SMALL % b"9007199254740993", SMALL % b"-100000000000000000000001"],
    "surrogate": [SMALL % b'"\\ud800"', SMALL % b'"\\udc00 \\ud800"'],
    "control_char": [SMALL % b'"\t"', SMALL % b'"\x00"'],
    "too_deep": [
        SMALL % (b"[" * 100_000 + b"]" * 100_000),
        SMALL % (b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
    ],
    "not_object": [b"[]", b"[1, 2]", b"null", b"17", b'"text"', b"true"],
    "wrong_type": [
        b'{"response": 5}',
        b'{"responses_create_params": []}',
        b'{"responses_create_params": {"input": 5}, "response": {"output": []}}',
        b'{"responses_create_params": {"input": "a"}, "response": {"output": {}}}',
        b'{"responses_create_params": {"input": "a"}, "response": {"output": [5]}}',
        b'{"messages": [{"role": "user"}, {"role": "assistant", "content": 5}]}',
    ],
    "not_a_rollout": [b"{}", b'{"detail": "Internal Server Error"}', b'{"policy_response": {}}'],
    "no_response": [
        b'{"responses_create_params": {"input": "a"}}',
        b'{"messages": [{"role": "user", "content": "a"}], "reward": 1.0}',
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "line"),
    [(reason, line) for reason, lines in BAD.items() for line in lines],
    ids=lambda value: value if isinstance(value, str) else repr(value[:60]),
)
def test_a_bad_line_has_its_reason_its_number_and_its_place(
    jsonl: Any, reason: str, line: bytes
) -> None:
    table = read(jsonl(GOOD, line, GOOD))
    assert table.bad.rows() == [(0, 2, len(GOOD) + 1, len(line), reason)]
    assert table.rows["line"].to_list() == [1, 3]
    assert table.read[0].lines == 3


def test_every_reason_is_tested_here() -> None:
    assert {*BAD, "truncated_tail", "line_too_long"} == {*BAD_LINE}


@pytest.mark.parametrize("cut", [1, 10, len(GOOD) // 2, len(GOOD) - 1])
def test_a_last_line_that_is_cut_off_is_a_truncated_tail(jsonl: Any, cut: int) -> None:
    table = read(jsonl(GOOD, GOOD[:cut], end=b""))
    assert table.bad.rows() == [(0, 2, len(GOOD) + 1, cut, "truncated_tail")]


def test_a_last_line_cut_inside_a_character_is_a_truncated_tail(jsonl: Any) -> None:
    line = json.dumps(rollout(answer="é"), ensure_ascii=False).encode()
    cut = line.index("é".encode()) + 1
    assert read(jsonl(line[:cut], end=b"")).bad["reason"].to_list() == ["truncated_tail"]


@pytest.mark.parametrize(
    ("reason", "line"), [("non_finite", SMALL % b"NaN"), ("not_object", b"[]")]
)
def test_a_whole_last_line_without_a_line_feed_keeps_its_own_reason(
    jsonl: Any, reason: str, line: bytes
) -> None:
    assert read(jsonl(line, end=b"")).bad["reason"].to_list() == [reason]


def test_a_last_line_without_a_line_feed_that_decodes_counts(jsonl: Any) -> None:
    table = read(jsonl(GOOD, GOOD, end=b""))
    assert (table.rows.height, table.bad.height, table.read[0].lines) == (2, 0, 2)


def test_an_over_long_line_is_bad_and_the_next_one_is_read(
    jsonl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gymrecipe.rollouts.files.MAX_LINE_BYTES", 1000)
    table = read(jsonl(GOOD, b"x" * 1001, GOOD))
    assert table.bad.rows() == [(0, 2, len(GOOD) + 1, 1001, "line_too_long")]
    assert table.rows["line"].to_list() == [1, 3]


def test_a_byte_order_mark_is_no_part_of_the_first_line(jsonl: Any) -> None:
    table = read(jsonl("﻿".encode() + GOOD, GOOD))
    assert table.rows["offset"].to_list() == [3, len(GOOD) + 4]
    assert table.rows["bytes"].to_list() == [len(GOOD)] * 2
    assert table.rows["id_hi"].n_unique() == 1


def test_carriage_returns_belong_to_the_white_space(jsonl: Any) -> None:
    table = read(jsonl(GOOD + b"\r", b"\r", GOOD + b"\r"))
    assert table.rows["line"].to_list() == [1, 3]
    assert table.bad["reason"].to_list() == ["blank"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b"])
def test_only_a_line_feed_ends_a_line(jsonl: Any, mark: str) -> None:
    line = json.dumps(rollout(answer=f"a{mark}b"), ensure_ascii=mark == "\x0b").encode()
    table = read(jsonl(line, line))
    assert table.rows["answer_chars"].to_list() == [3, 3]


def test_a_file_with_one_json_array_has_no_rollout(jsonl: Any) -> None:
    text = json.dumps([rollout(), rollout()], indent=1).encode()
    table = read(jsonl(*text.split(b"\n")))
    assert table.rows.is_empty()


@pytest.mark.parametrize(
    ("reason", "line"), [(r, line[0]) for r, line in BAD.items() if r != "blank"]
)
def test_the_first_bad_row_too_many_is_told_with_its_reason(
    jsonl: Any, reason: str, line: bytes
) -> None:
    path = jsonl(GOOD, line)
    with pytest.raises(DataError, match=rf"a\.jsonl:2: {reason}: "):
        read(path, max_bad_rows=0)


def test_a_line_nobody_could_decode_is_of_the_wrong_type_only_if_it_is_good_json() -> None:
    assert why_bad(b'{"a": 1}', msgspec.ValidationError()) == "wrong_type"
    assert why_bad(b'{"a": 1', msgspec.ValidationError()) == "bad_json"
