"""Numbers: which ones a loader changes.

Hugging Face's `datasets` keeps objects of different keys as JSON text that pandas writes anew and
reads back. Measured on 4.8.4 and 5.2.0: 0.3946063684687171 becomes 0.3946063685, 1e-12 becomes 0,
1.2345678901234568e16 becomes 1.2345678900000002e16, and 0.13193 becomes 0.13193000000000002, since
the decimals are read as an integer that is then multiplied. On an integer beyond 64 bits it stops,
or fills nulls into all rows.
"""

from __future__ import annotations

from typing import Any

from gymrecipe.rollouts.messages import Unusable

DECIMALS, DIGITS = 10, 15
"""So many are written behind the point, and surely kept before it."""


def check(value: Any) -> None:
    """Raise Unusable with `rounded_number` or `number_too_wide` where a number would change."""
    if isinstance(value, dict):
        for item in value.values():
            check(item)
    elif isinstance(value, list):
        for item in value:
            check(item)
    elif isinstance(value, float) and not _stays(abs(value)):
        raise Unusable("rounded_number")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Unusable("number_too_wide")


def _stays(value: float) -> bool:
    """Whether it is sure to stay: the decimals give it back both multiplied and divided."""
    text = repr(value)
    if "e" in text:
        return text[1:3] == "e+" and value <= 1e22  # one digit, and a power of ten that is exact
    whole, _, decimals = text.partition(".")
    places = len(decimals)
    if places > DECIMALS or len(whole) > DIGITS:
        return False
    read = float(whole) + float(decimals) * 10.0**-places
    return read == value == float(whole) + float(decimals) / 10.0**places
