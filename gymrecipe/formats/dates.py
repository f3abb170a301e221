"""Dates: the texts that Arrow's JSON reader, and so `datasets`, takes for timestamps.

A column of nothing else becomes timestamps, whatever the trainer makes of these.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

LONGEST = 25
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?")


def is_date(value: Any) -> bool:
    """Whether a value, or what stands in a line for one, is such a text."""
    if isinstance(value, Raw):
        if len(value) > LONGEST + 2 or not bytes(value).startswith(b'"'):
            return False
        value = msgspec.json.decode(value)
    if not isinstance(value, str) or len(value) > LONGEST or not _DATE.fullmatch(value):
        return False
    try:
        datetime.strptime(value[:10], "%Y-%m-%d")
    except ValueError:
        return False
    return True
