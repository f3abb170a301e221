"""Which numbers a loader would change."""

from __future__ import annotations

from typing import Any

import pytest

from gymrecipe.formats.numbers import check
from gymrecipe.rollouts.messages import Unusable


@pytest.mark.parametrize(
    "value", [0.1, 3.0, 1e22, -0.25, 12.5, 2**63 - 1, True, None, "0.3946063684687"]
)
def test_numbers_that_stay_are_let_through(value: Any) -> None:
    check({"a": [value, {"b": value}]})


@pytest.mark.parametrize(
    "value", [0.3946063684687171, 1e-12, 0.13193, -1.2345678901234568e16, 1e23]
)
def test_floats_that_would_change_are_refused_however_deep(value: float) -> None:
    with pytest.raises(Unusable, match="rounded_number"):
        check({"a": [1, {"b": value}]})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_integers_beyond_64_bits_are_refused(value: int) -> None:
    with pytest.raises(Unusable, match="number_too_wide"):
        check([value])
