"""Label: which rollouts are desirable and which are not, for KTO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from gymrecipe.late import pl
from gymrecipe.parameters import TOLERANCE, Of, Params, Quantile, Reads, is_above
from gymrecipe.registry import Facts, stage


class Label(Params):
    """From where on a rollout is desirable, and up to where it is undesirable."""

    use: Literal["label"] = "label"
    by: Annotated[str, Reads("number")] = "reward"
    """The metric that decides."""
    high: Annotated[float | Quantile, Of(parameter="by")] = 0.7
    """A rollout with at least this value is desirable, also where it meets `low` as well."""
    low: Annotated[float | Quantile, Of(parameter="by")] = 0.4
    """A rollout with at most this value is undesirable."""

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

    Rejects `between` what is neither, and `missing_<by>` what has no value.
    """
    assert not isinstance(params.high, str)
    assert not isinstance(params.low, str)
    value = pl.col(params.by)
    desirable = value >= params.high - TOLERANCE
    undesirable = value <= params.low + TOLERANCE
    labelled = rollouts.with_columns(
        label=pl.when(desirable | undesirable).then(desirable),
        reason=pl.when(value.is_null())
        .then(pl.lit(f"missing_{params.by}"))
        .when(~desirable & ~undesirable)
        .then(pl.lit("between")),
    )
    facts = {
        "labels": labelled.select(
            desirable=pl.col("label").sum(), undesirable=(~pl.col("label")).sum()
        )
    }
    if params.low > params.high:  # a quantile and a number, which only the data puts in order
        said = f"low ({params.low:g}) is above high ({params.high:g}); what meets both is desirable"
        facts["warnings"] = pl.LazyFrame({"message": [said]})
    return labelled, facts
