"""Pairing: the parameters of `pair`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gymrecipe.parameters import (
    LIKE_QUANTILE,
    Of,
    Params,
    Quantile,
    Reads,
    ReadsWhere,
    check_quantile,
    is_above,
    registered,
)
from gymrecipe.registry import STRATEGIES
from gymrecipe.stages import strategies as strategies
from gymrecipe.stages import where as language


def _readable(text: str) -> str:
    if LIKE_QUANTILE.fullmatch(text):
        return check_quantile(text)
    language.parse(text)
    return text


Tier = float | Quantile | Annotated[str, AfterValidator(_readable)]


class Pair(Params):
    """How rollouts of one prompt become pairs of a chosen and a rejected one."""

    use: Literal["pair"] = "pair"
    strategy: Annotated[str, registered(STRATEGIES)] = "mirrored"
    """Which rollouts are held against each other (`gymrecipe stages pair` lists the strategies)."""
    by: Annotated[str, Reads("number")] = "reward"
    """The metric that ranks the rollouts and whose difference is the gap."""
    min_gap: Annotated[float, Field(ge=0), Of(parameter="by")] = 0.0
    """The smallest difference that counts as a preference. Equal values never pair."""
    max_gap: Annotated[float, Field(ge=0)] | None = None
    """The largest difference allowed."""
    max_pairs_per_task: Annotated[int, Field(ge=1)] | None = None
    """The most pairs of one task: the widest gaps first."""
    ties: Literal["draw", "shortest"] = "draw"
    """Which of equal values ranks first: by draw, or the shortest answer."""
    high: Annotated[Tier, Of(parameter="by"), ReadsWhere()] = 0.7
    """`strategy: tiers`: a chosen rollout has at least this value, or meets this expression."""
    low: Annotated[Tier, Of(parameter="by"), ReadsWhere()] = 0.4
    """`strategy: tiers`: a rejected rollout has at most this value, or meets this expression."""
    across_prompts: bool = False
    """`strategy: tiers`: pair over all tasks. Each side carries its own conversation, which only
    the formats `raw` and `custom` can write, and which no `validation_fraction` can hold out."""
    max_pairs: Annotated[int, Field(ge=1)] | None = None
    """`across_prompts`: the most pairs over all tasks."""

    @model_validator(mode="after")
    def _consistent(self) -> Pair:
        defaults = type(self).model_fields
        tiers_only = [
            name
            for name in ("high", "low", "across_prompts", "max_pairs")
            if getattr(self, name) != defaults[name].default
        ]
        if self.strategy != "tiers" and tiers_only:
            raise ValueError(f"{', '.join(tiers_only)} need strategy: tiers")
        if self.across_prompts != (self.max_pairs is not None):
            raise ValueError("across_prompts and max_pairs need each other")
        if self.across_prompts and self.max_pairs_per_task is not None:
            raise ValueError("across_prompts takes max_pairs, not max_pairs_per_task")
        if is_above(self.low, self.high):
            raise ValueError(f"low={self.low} is above high={self.high}, so that the tiers overlap")
        if self.max_gap is not None and self.max_gap < self.min_gap:
            raise ValueError(f"max_gap={self.max_gap} is below min_gap={self.min_gap}")
        return self
