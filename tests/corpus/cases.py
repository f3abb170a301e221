"""Malformed input files, and odd but good ones: what is in each and what becomes of every line.

`CASES` are files that a run reads, `REFUSED` those that end it. Nothing of this is kept as a file.
"""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import dataclass, field
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass(frozen=True)
class Fate:
    """What becomes of a line: rejected by a stage for a reason, or written with these `values`."""

    stage: str = ""
    reason: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A file: its name, its bytes, and the fate of each of its lines."""

    name: str
    data: bytes
    fates: list[Fate]


@dataclass(frozen=True)
class Refused:
    """A file that ends a run: the exit code, and a part of the sentence."""

    name: str
    data: bytes
    code: int
    said: str


def ok(**values: Any) -> Fate:
    return Fate(values=values)


def bad(reason: str) -> Fate:
    return Fate("load", reason)


def unusable(reason: str) -> Fate:
    return Fate("write", reason)


def line(
    reward: bytes | None = b"1.0",
    text: bytes = b"4",
    more: bytes = b"",
    prompt: bytes = b'"2+2?"',
    output: bytes | None = None,
    response: bytes = b"",
    request: bytes = b"",
) -> bytes:
    """A rollout as text; the parts are JSON, `more` and the like begin with a comma."""
    if output is None:
        output = b'{"type": "message", "role": "assistant", "content": "%s"}' % text
    scored = b"" if reward is None else b', "reward": %s' % reward
    return b'{"responses_create_params": {"input": %s%s}, "response": {"output": [%s]%s}%s%s}' % (
        prompt,
        request,
        output,
        response,
        scored,
        more,
    )


def call(arguments: bytes) -> bytes:
    """The items of a call, its output, and an answer."""
    return (
        b'{"type": "function_call", "call_id": "c", "name": "f", "arguments": %s},'
        b' {"type": "function_call_output", "call_id": "c", "output": "x"},'
        b' {"type": "message", "role": "assistant", "content": "done"}' % arguments
    )


TOOLS = b', "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"%s}}]'
GOOD = line()
SAID = json.dumps({"type": "message", "role": "assistant", "content": "4"}).encode()


def within(middle: bytes, fate: Fate, name: str) -> Case:
    """A file of three lines with the odd one in the middle."""
    return Case(f"{name}.jsonl", b"\n".join((GOOD, middle, GOOD, b"")), [ok(), fate, ok()])


def rewarded(text: bytes, fate: Fate, name: str) -> Case:
    return within(line(text), fate, f"reward_{name}")


def called(arguments: bytes, fate: Fate, name: str) -> Case:
    return within(line(output=call(arguments), request=TOOLS % b""), fate, f"arguments_{name}")


def late(middle: bytes, fate: Fate, name: str, before: bytes = GOOD, rows: int = 3_000) -> Case:
    """A file whose odd line comes when a reader that guesses has long guessed."""
    data = b"".join(b"%s\n" % text for text in [before] * rows + [middle, before])
    return Case(f"late_{name}.jsonl", data, [ok()] * rows + [fate, ok()])


MISSING = ok(reward=None)

REWARDS = [
    rewarded(b"NaN", bad("non_finite"), "nan"),
    rewarded(b"Infinity", bad("non_finite"), "infinity"),
    rewarded(b"-Infinity", bad("non_finite"), "minus_infinity"),
    rewarded(b"1e999", bad("non_finite"), "1e999"),
    rewarded(b"9" * 400, bad("non_finite"), "400_digits"),
    rewarded(b"9" * 5_000, bad("non_finite"), "5000_digits"),
    rewarded(b"1e-999", ok(reward=0.0), "1e-999"),
    rewarded(b"-0.0", ok(reward=0.0), "minus_zero"),
    rewarded(b"0.1", ok(reward=0.1), "tenth"),
    rewarded(b"1e2", ok(reward=100.0), "exponent"),
    rewarded(b'"0.5"', MISSING, "text"),
    rewarded(b"true", MISSING, "true"),
    rewarded(b"null", MISSING, "null"),
    rewarded(b"[0.5]", MISSING, "list"),
    rewarded(b'{"value": 0.5}', MISSING, "object"),
    within(line(None), MISSING, "reward_missing"),
    within(line(None, more=b', "Reward": 0.5'), MISSING, "reward_upper_case"),
    rewarded(b"9007199254740992", ok(reward=2.0**53), "2_53"),
    rewarded(b"9007199254740993", bad("int_precision"), "2_53_plus_1"),
    rewarded(b"-9007199254740993", bad("int_precision"), "minus_2_53_plus_1"),
    rewarded(b"18446744073709551616", ok(reward=2.0**64), "2_64"),
    rewarded(b"18446744073709551617", bad("int_precision"), "2_64_plus_1"),
    rewarded(b"00.5", bad("bad_json"), "leading_zero"),
    rewarded(b"+0.5", bad("bad_json"), "plus"),
    rewarded(b".5", bad("bad_json"), "no_digit_before"),
    rewarded(b"5.", bad("bad_json"), "no_digit_after"),
    rewarded(b"0x10", bad("bad_json"), "hexadecimal"),
    rewarded(b"1 /* fine */", bad("bad_json"), "comment"),
]

TEXTS = [
    within(line(text=b"\xff"), bad("not_utf8"), "utf8_invalid"),
    within(line(text=b"\xc0\xaf"), bad("not_utf8"), "utf8_overlong"),
    within(line(text=b"\xed\xa0\x80"), bad("not_utf8"), "utf8_surrogate"),
    within(line(more=b', "unread": "\xff"'), bad("not_utf8"), "utf8_invalid_unread"),
    within(line(text=b"\\ud800"), bad("surrogate"), "surrogate_alone"),
    within(line(more=b', "unread": "\\ud800"'), bad("surrogate"), "surrogate_unread"),
    within(line(text=b"\\ud83d\\ude00"), ok(answer="\U0001f600"), "surrogate_pair"),
    within(line(text=b"a\x00b"), bad("control_char"), "nul_raw"),
    within(line(text=b"a\tb"), bad("control_char"), "tab_raw"),
    within(line(text=b"a\\u0000b"), ok(answer="a\0b"), "nul_escaped"),
    within(line(text="a\u2028b\u2029c\x85d".encode()), ok(answer="a\u2028b\u2029c\x85d"), "ends"),
    within(line(text=b"2024-01-01"), ok(answer="2024-01-01"), "text_like_a_date"),
    within(line(text=b"\\q"), bad("bad_json"), "unknown_escape"),
]  # fmt: skip

JSON = [
    within(b"", bad("blank"), "blank"),
    within(b" \t ", bad("blank"), "spaces"),
    within(b"{'single': 1}", bad("bad_json"), "single_quotes"),
    within(GOOD[:-1] + b",}", bad("bad_json"), "trailing_comma"),
    within(GOOD[:100] + GOOD, bad("bad_json"), "torn_by_another_writer"),
    within(GOOD + GOOD, bad("trailing_data"), "two_objects"),
    within(GOOD + b" garbage", bad("trailing_data"), "trailing_garbage"),
    within(b"\0" * 4_096, bad("bad_json"), "hole_of_nul"),
    within(b"[%s]" % GOOD, bad("not_object"), "list"),
    within(b"7", bad("not_object"), "number"),
    within(b'"text"', bad("not_object"), "text"),
    within(b"null", bad("not_object"), "null"),
    within(b'{"detail": "Internal Server Error"}', bad("not_a_rollout"), "error_body"),
    within(b'{"responses_create_params": {"input": "a"}}', bad("no_response"), "input_row"),
    within(b'{"responses_create_params": 5, "response": "a"}', bad("wrong_type"), "request_number"),
    within(line(prompt=b"5"), bad("wrong_type"), "input_number"),
    within(line(more=b', "x": ' + b"[" * 500 + b"]" * 500), ok(), "nested_500"),
    within(line(more=b', "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
           bad("too_deep"), "nested_100000"),
    within(b'{"responses_create_params": {"input": [{"role": "user", "content": "2+2?"}]},'
           b' "response": {"output": [%s]}, "reward": 1.0}' % SAID, ok(answer="4"), "prompt_list"),
    within(line(more=b', "new": [1, {"a": null}]'), ok(), "new_field"),
]  # fmt: skip

LONG = b', "usage": {"output_tokens": 7}, "note": "%s"' % (b"x" * 5_000)
"""More of a response, so that it is cut out of its line when it is read."""

REPEATED = [
    rewarded(b'0.0, "reward": 1.0', bad("duplicate_key"), "twice"),
    rewarded(b'1.0, "reward": 1.0', bad("duplicate_key"), "twice_the_same"),
    rewarded(b'0.0, "rew\\u0061rd": 1.0', bad("duplicate_key"), "twice_escaped"),
    late(line(response=LONG, more=b', "reward": 0.0'), bad("duplicate_key"), "reward_twice",
         before=line(response=LONG), rows=20),
    late(line(response=LONG + b'}, "response": {"output": []'), bad("duplicate_key"),
         "response_twice", before=line(response=LONG), rows=20),
    within(line(request=b', "input": "3+3?"'), bad("duplicate_key"), "input_twice"),
    within(line(request=b', "metadata": {"a": 1, "a": 2}'), ok(), "request_metadata_twice"),
    within(line(more=b', "metadata": {"category": "a", "category": "b"}'), bad("duplicate_key"),
           "column_twice"),
    within(line(more=b', "metadata": {"category": "a", "other": 1, "other": 2}'),
           ok(category="a"), "beside_a_column_twice"),
    within(line(more=b', "agent_ref": {"name": "a", "name": "b"}'), bad("duplicate_key"),
           "agent_twice"),
    within(line(more=b', "mask_sample": true, "mask_sample": false'), bad("duplicate_key"),
           "mask_twice"),
    within(line(more=b', "unread": {"a": {"b": 1, "b": 2}}'), ok(answer="4"), "unread_twice"),
    within(line(text=b'{\\"a\\": 1, \\"a\\": 2}'), ok(answer='{"a": 1, "a": 2}'), "text_of_twice"),
    within(line(response=b', "status": "failed", "status": "completed"'), ok(), "status_twice"),
    within(line(output=SAID[:-1] + b', "content": "5"}'), ok(answer="5"), "content_twice"),
    within(line(request=TOOLS % b', "type": "array"'), ok(), "schema_twice"),
    called(b'"{\\"a\\": 1, \\"a\\": 2}"', unusable("duplicate_key"), "text_twice"),
    called(b'"{\\"b\\": {\\"a\\": 1, \\"\\\\u0061\\": 2}}"', unusable("duplicate_key"),
           "deep_twice"),
    called(b'{"a": 1, "a": 2}', ok(arguments={"a": 2}), "object_twice"),
]  # fmt: skip

NUMBERS_IN_CALLS = [
    called(b'"{\\"n\\": 9007199254740993}"', ok(arguments={"n": 2**53 + 1}), "2_53_plus_1"),
    called(b'{"n": 123456789012345678901234567890}',
           ok(arguments={"n": 123456789012345678901234567890}), "30_digits"),
    called(b'"{\\"n\\": 1e999}"', unusable("arguments_not_json"), "1e999"),
    called(b'{"n": 1e999}', unusable("non_finite"), "object_1e999"),
    called(b'"{\\"n\\": NaN}"', unusable("arguments_not_json"), "nan"),
    called(b'"{\\"n\\": \\"\\\\ud800\\"}"', unusable("arguments_not_json"), "surrogate"),
    called(b'"{\\"a\\": \\":\\", \\"b\\": {\\"a\\": 1.50}}"',
           ok(arguments={"a": ":", "b": {"a": 1.5}}), "colons"),
    within(line(more=b', "unread": 1e999'), bad("non_finite"), "unread_1e999"),
    within(line(more=b', "unread": [1e999]'), unusable("non_finite"), "unread_deep_1e999"),
    within(line(more=b', "unread": 9007199254740993'), ok(reward=1.0), "unread_2_53_plus_1"),
]  # fmt: skip

LATE = [
    late(line(b'"0.5"'), MISSING, "text_reward"),
    late(line(more=b', "new": 1'), ok(reward=1.0), "new_field"),
    late(line(b"0.5"), ok(reward=0.5), "half", before=line(b"1")),
    late(line(b"0.5"), ok(reward=0.5), "first_number", before=line(b"null")),
]

NAMED = b', "metadata": {"category": "a"}'
BAD_AND_NEW = b'{"response": 5, "reward": 1.0%s}\n' % NAMED + line(more=NAMED) + b"\n"

BOM = "\ufeff".encode()
ARRAY = json.dumps([json.loads(GOOD)] * 2, indent=1).encode() + b"\n"
PRETTY = json.dumps(json.loads(GOOD), indent=1).encode() + b"\n"
TWO, MEMBER = GOOD + b"\n" + GOOD + b"\n", GOOD + b"\n"


def pretty(data: bytes) -> list[Fate]:
    """Of an object over many lines each line is bad; those that are a text or number are no object
    before they are anything else.
    """
    return [Fate("load", "*")] * data.count(b"\n")


WHOLE_FILES = [
    Case("fields_first_on_a_bad_line.jsonl", BAD_AND_NEW, [bad("wrong_type"), ok(reward=1.0)]),
    Case("empty.jsonl", b"", []),
    Case("only_a_line_feed.jsonl", b"\n", [bad("blank")]),
    Case("bom.jsonl", BOM + TWO, [ok(), ok()]),
    Case("bom_later.jsonl", MEMBER + BOM + MEMBER, [ok(), bad("bad_json")]),
    Case("bom_alone.jsonl", BOM, [bad("blank")]),
    Case("crlf.jsonl", GOOD + b"\r\n\r\n" + GOOD + b"\r\n", [ok(), bad("blank"), ok()]),
    Case("cr_only.jsonl", GOOD + b"\r" + GOOD + b"\r", [bad("trailing_data")]),
    Case("no_last_feed.jsonl", MEMBER + GOOD, [ok(), ok()]),
    Case("cut_off.jsonl", MEMBER + GOOD[:-9], [ok(), bad("truncated_tail")]),
    Case("cut_in_a_character.jsonl", MEMBER + line(text="é".encode()).partition(b"\xa9")[0],
         [ok(), bad("truncated_tail")]),
    Case("array.jsonl", ARRAY, pretty(ARRAY)),
    Case("pretty.jsonl", PRETTY, pretty(PRETTY)),
    Case("utf16.jsonl", TWO.decode().encode("utf-16"), [*pretty(TWO), Fate("load", "*")]),
    Case("zip_of_it.jsonl", b"PK\x03\x04" + b"\x00\x01" * 50, [bad("truncated_tail")]),
    Case("members.jsonl.gz", gzip.compress(MEMBER) + gzip.compress(MEMBER), [ok(), ok()]),
    Case("padded.jsonl.gz", gzip.compress(TWO) + b"\0" * 512, [ok(), ok()]),
    Case("plain_inside.jsonl.gz", TWO, [ok(), ok()]),
    Case("packed_inside.jsonl", gzip.compress(TWO), [ok(), ok()]),
    Case("frames.jsonl.zst", zstd.compress(MEMBER) + zstd.compress(MEMBER), [ok(), ok()]),
    Case("line_over_members.jsonl.gz", gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:]), [ok()]),
]  # fmt: skip

CASES = [*REWARDS, *TEXTS, *JSON, *REPEATED, *NUMBERS_IN_CALLS, *LATE, *WHOLE_FILES]

PACKED, FRAME = gzip.compress(TWO * 50), zstd.compress(TWO * 50)
BROKEN = "cut off or broken"

REFUSED = [
    Refused("cut.jsonl.gz", PACKED[:-20], 3, BROKEN),
    Refused("cut_at_the_header.jsonl.gz", PACKED[:5], 3, BROKEN),
    Refused("garbage_behind.jsonl.gz", PACKED + b"garbage", 3, BROKEN),
    Refused("wrong_sum.jsonl.gz", PACKED[:-8] + b"\1\2\3\4" + PACKED[-4:], 3, BROKEN),
    Refused("empty.jsonl.gz", b"", 2, "empty: not even the header"),
    Refused("empty.jsonl.zst", b"", 2, "empty: not even the header"),
    Refused("cut.jsonl.zst", FRAME[:-6], 3, BROKEN),
    Refused("cut_early.jsonl.zst", FRAME[:20], 3, BROKEN),
    Refused("bomb.jsonl.gz", gzip.compress(b"a" * 2**20) * 80, 3, "swells to more than"),
]
