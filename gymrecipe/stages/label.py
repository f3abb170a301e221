"""Label: which rollouts are desirable and which are not, for KTO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from gymrecipe.late import pl
from gymrecipe.parameters import TOLERANCE, Of, Params, Reads, ReadsWhere, is_above
from gymrecipe.registry import Facts, stage
from gymrecipe.stages import where as language
from gymrecipe.stages.pair import Tier


class Label(Params):
    """From where on a rollout is desirable, and up to where it is undesirable."""

    use: Literal["label"] = "label"
    by: Annotated[str, Reads("number")] = "reward"
    """The metric that decides."""
    high: Annotated[Tier, Of(parameter="by"), ReadsWhere()] = 0.7
    """A rollout with at least this value, or that meets this expression (`judge_ok`), is desirable,
    also where it meets `low` as well."""
    low: Annotated[Tier, Of(parameter="by"), ReadsWhere()] = 0.4
    """A rollout with at most this value, or that meets this expression, is undesirable."""

    @model_validator(mode="after")
    def _ordered(self) -> Label:
        if is_above(self.low, self.high):
            raise ValueError(
                f"low={self.low} is above high={self.high}, so that the labels overlap"
            )
        return self


@stage(takes="rollouts", version=1)
def label(rollouts: pl.LazyFrame, params: Label) -> tuple[pl.LazyFrame, Facts]:
    """Give each rollout a `label`: true for a desirable one, false for an undesirable one.

    Rejects `between` what is neither, and `missing_<name>` what has no value to tell by.
    """
    value, high, low = pl.col(params.by), params.high, params.low
    missing = pl.when(value.is_null()).then(pl.lit(f"missing_{params.by}"))
    desirable, not_high = (
        (language.to_polars(high), language.missing(high))
        if isinstance(high, str)
        else (value >= high - TOLERANCE, missing)
    )
    undesirable, not_low = (
        (language.to_polars(low), language.missing(low))
        if isinstance(low, str)
        else (value <= low + TOLERANCE, missing)
    )
    labelled = rollouts.with_columns(
        label=pl.when(desirable).then(True).when(undesirable).then(False),
        reason=pl.when(~(desirable | undesirable).fill_null(False)).then(
            pl.coalesce(not_high, not_low, pl.lit("between"))
        ),
    )
    facts = {
        "labels": labelled.select(
            desirable=pl.col("label").sum(), undesirable=(~pl.col("label")).sum()
        )
    }
    if not isinstance(low, str) and not isinstance(high, str) and low > high:
        # a quantile and a number, which only the data puts in order
        said = f"low ({low:g}) is above high ({high:g}); what meets both is desirable"
        facts["warnings"] = pl.LazyFrame({"message": [said]})
    return labelled, facts
