"""Which numbers a loader breaks on."""

from __future__ import annotations

from typing import Any

import pytest

from gymrecipe.formats.numbers import check
from gymrecipe.rollouts.chat import Unusable


@pytest.mark.parametrize(
    "value", [0.3946063684687171, 1e-12, 1e22, 2**63 - 1, -(2**63), True, None, str(2**70)]
)
def test_numbers_that_are_read_are_let_through(value: Any) -> None:
    check({"a": [value, {"b": value}]})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_integers_beyond_64_bits_are_refused_however_deep(value: int) -> None:
    with pytest.raises(Unusable, match="number_too_wide"):
        check({"a": [1, {"b": value}]})
