"""Numbers: which ones break a loader.

Where objects of different keys stand in one column, Hugging Face's `datasets` (4.8.4 and 5.2.0)
stops at an integer beyond 64 bits, or fills nulls into all rows without a word. It also reads
floats there to about ten decimals (0.3 as 0.30000000000000004), which no file can prevent: they are
written whole, and the guides say so.
"""

from __future__ import annotations

import re
from types import NoneType
from typing import Any

import msgspec
from msgspec import Raw

from gymrecipe.rollouts.chat import Unusable

_NARROW = frozenset({str, float, bool, NoneType})
_LONG = re.compile(rb"\d{19}")


def check(value: Any) -> None:
    """Raise Unusable with `number_too_wide` for an integer beyond 64 bits, however deep it is."""
    if isinstance(value, Raw):
        if not _LONG.search(value):
            return
        value = msgspec.json.decode(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        if not _NARROW.issuperset(map(type, value)):  # mostly there are texts alone
            for item in value:
                check(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Unusable("number_too_wide")
