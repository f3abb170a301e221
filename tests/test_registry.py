"""The registry: what a module registers is held against what there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from gymrecipe.parameters import Params
from gymrecipe.registry import CHECKS, FORMATS, STAGES, check, format, stage


class Nameless(Params):
    most: int = 3


class Misnamed(Params):
    use: Literal["patient"] = "patient"


def nameless(rows: Any, params: Nameless) -> Any:
    """A stage whose model does not say what it is used as."""


def misnamed(rows: Any, params: Misnamed) -> Any:
    """A stage whose model is another one's."""


def plain(example: Any) -> Any:
    """A format, or a check."""


@pytest.mark.parametrize("function", [nameless, misnamed])
def test_a_stage_whose_model_does_not_say_its_name_is_told_what_to_write(
    function: Callable[..., Any],
) -> None:
    name = function.__name__
    with pytest.raises(
        TypeError, match=f'{name}\' needs a field `use: Literal."{name}". = "{name}"`'
    ):
        stage(takes="rollouts", version=1)(function)
    assert name not in STAGES


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"purposes": ("sftt",)}, "has the purposes 'sftt'; there are sft, .*Did you mean 'sft'?"),
        ({"purposes": "sft"}, 'has the purposes the text "sft"; write a tuple, ."sft",.'),
        ({"files": ("csv",)}, "has the files 'csv'; there are jsonl, parquet."),
        ({"pairs_at": ("decison",)}, "has pairs_at 'decison'; .*Did you mean 'decision'?"),
        ({"reasoning": "tags"}, "has reasoning 'tags'; there are field, think_tags, drop."),
    ],
)
def test_a_format_of_what_there_is_not_is_told_when_it_registers(
    given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=f"the format 'plain' {sentence}"):
        format(**{"purposes": ("sft",), "version": 1} | given)(plain)
    assert "plain" not in FORMATS


@pytest.mark.parametrize(
    ("takes", "sentence"),
    [
        (("rolouts",), "takes 'rolouts'; .*Did you mean 'rollouts'?"),
        ("rollouts", 'takes the text "rollouts"; write a tuple, ."rollouts",.'),
    ],
)
def test_a_check_of_what_there_is_not_is_told_when_it_registers(takes: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"the check 'plain' {sentence}"):
        check(takes=takes, advice="")(plain)
    assert "plain" not in CHECKS
