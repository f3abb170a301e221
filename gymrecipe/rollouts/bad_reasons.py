"""Bad reasons: the reasons of bad lines, and which of them one has that did not decode."""

from __future__ import annotations

import json
import math
from typing import Any

from gymrecipe.rollouts.columns import Rounded
from gymrecipe.rollouts.json_members import Repeated
from gymrecipe.rollouts.lines import MAX_LINE_BYTES

BAD_LINE = {
    "blank": "an empty line (not counted as a bad row)",
    "not_utf8": "bytes that are not UTF-8",
    "bad_json": "text that is not JSON",
    "trailing_data": "more text after the JSON object",
    "truncated_tail": "the last line has no line feed and is cut off (still being written?)",
    "non_finite": "NaN, Infinity, or a number too large to be one",
    "int_precision": "an integer that no float holds, where a number is read",
    "duplicate_key": "a key twice in an object out of which something is read",
    "surrogate": "half a surrogate pair in a string",
    "control_char": "an unescaped control character in a string",
    "too_deep": "nested too deeply",
    "line_too_long": f"longer than {MAX_LINE_BYTES // 2**20} MiB",
    "not_object": "JSON, but not an object",
    "wrong_type": "a part of the rollout has the wrong type",
    "not_a_rollout": "an object with neither a response nor messages (an error body?)",
    "no_response": "a task without a response: an input row, not a rollout",
}
"""Why a line is not a rollout; the closed list of `load`'s reasons about single lines."""


def why_bad(line: bytes, error: Exception) -> str:
    """The reason (see BAD_LINE) of a line that did not decode."""
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8"
    if isinstance(error, Repeated):
        return "duplicate_key"
    if isinstance(error, Rounded):
        return "int_precision"
    if isinstance(error, RecursionError):
        return "too_deep"
    if isinstance(error, OverflowError):
        return "non_finite"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    try:
        value = _strict.decode(text)
    except _NonFinite:
        return "non_finite"
    except RecursionError:
        return "too_deep"
    except json.JSONDecodeError as problem:
        if problem.msg.startswith("Extra data"):
            return "trailing_data"
        return "control_char" if problem.msg.startswith("Invalid control") else "bad_json"
    except ValueError:  # an integer of more digits than Python will read
        return "non_finite"
    if not isinstance(value, dict):
        return "not_object"
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "surrogate"
    return "wrong_type"


class _NonFinite(Exception):
    pass


def _refuse(_: str) -> Any:
    raise _NonFinite


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NonFinite
    return value


_strict = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
"""Made once: that takes longer than a short line."""
