"""Grammar: values of Python as overrides, and what comes back of them."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gymrecipe.recipe.grammar import as_plain, in_grammar
from tests.recipe.conftest import TEXTS, value

KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029$/@"),
    min_size=1,
    max_size=8,
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
@example({"\u0130": None})  # lower case makes an ASCII letter of it
def test_any_value_survives_the_grammar(wanted: Any) -> None:
    assume("target" not in repr(wanted) and "hydra" not in repr(wanted) and wanted != "???")
    assume("()" not in repr(wanted))
    assert value(f"stages.usable.zz={in_grammar(wanted)}") == wanted


def test_any_kind_of_number_is_a_plain_one() -> None:
    numpy = pytest.importorskip("numpy")
    assert repr(as_plain(numpy.int64(5))) == "5"
    assert repr(as_plain(numpy.float32(0.5))) == repr(as_plain(Fraction(1, 2))) == "0.5"


def test_lists_and_mappings_of_any_kind_are_plain_ones() -> None:
    config = OmegaConf.create({"files": ["a.jsonl", "b.jsonl"], "columns": {"reward": "score"}})
    assert as_plain(config) == OmegaConf.to_container(config)
    assert as_plain((Path("a"), [date(2026, 1, 2)], range(2))) == ["a", ["2026-01-02"], [0, 1]]


@pytest.mark.parametrize("value", [b"a", {1, 2}, object(), [1j], {"a": iter([])}])
def test_what_no_recipe_can_hold_is_no_plain_value(value: Any) -> None:
    with pytest.raises(TypeError, match=r"\w+\.\w+"):
        as_plain(value)
