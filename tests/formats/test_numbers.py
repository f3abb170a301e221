"""Which numbers a loader breaks on."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from gymrecipe.formats.example import Example
from gymrecipe.formats.numbers import check
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import Message, Unusable


@pytest.mark.parametrize(
    "value", [0.3946063684687171, 1e-12, 1e22, 2**63 - 1, -(2**63), True, None, str(2**70)]
)
def test_numbers_that_are_read_are_let_through(value: Any) -> None:
    check({"a": [value, {"b": value}]})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_integers_beyond_64_bits_are_refused_however_deep(value: int) -> None:
    with pytest.raises(Unusable, match="number_too_wide"):
        check({"a": [1, {"b": value}]})


@pytest.mark.parametrize(
    ("text", "right"),
    [(b"[1, 1e22, 9223372036854775807]", True), (b'{"a": 18446744073709551616}', False)],
)
def test_a_value_that_stands_as_it_stood_is_looked_into(text: bytes, right: bool) -> None:
    if right:
        check({"a": Raw(text)})
    else:
        with pytest.raises(Unusable, match="number_too_wide"):
            check({"a": Raw(text)})


@pytest.mark.parametrize(
    ("format", "purpose"),
    [
        ("trl", "sft"), ("trl", "dpo"), ("nemo_rl", "dpo"), ("axolotl", "sft"), ("axolotl", "dpo"),
        ("axolotl", "kto"), ("ms_swift", "sft"), ("llama_factory", "sft"), ("openrlhf", "sft"),
    ],
)  # fmt: skip
def test_a_column_counts_where_the_loader_would_round_it_or_fill_nulls_in(
    format: str, purpose: Any
) -> None:
    sides = {"chosen": [Message("assistant", "4")], "rejected": [Message("assistant", "5")]}
    example = Example(purpose, (), {"seed": Raw(b"340282366920938463463")}, **sides)
    with pytest.raises(Unusable, match="number_too_wide"):
        FORMATS[format].function(example)
