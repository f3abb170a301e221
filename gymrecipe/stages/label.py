"""Label: which rollouts are desirable and which are not, for KTO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Of, Params, Reads, ReadsWhere, is_above
from gymrecipe.registry import Facts, stage
from gymrecipe.stages import ranking
from gymrecipe.stages import where as language
from gymrecipe.stages.pairing import Tier


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
    value = pl.col(params.by)
    desirable = ranking.tier(params.high, value, high=True)
    undesirable = ranking.tier(params.low, value, high=False)
    missing = (
        language.missing(limit)
        if isinstance(limit, str)
        else pl.when(value.is_null()).then(pl.lit(f"missing_{params.by}"))
        for limit in (params.high, params.low)
    )
    labelled = rollouts.with_columns(
        label=pl.when(desirable).then(True).when(undesirable).then(False),
        reason=pl.when(~(desirable | undesirable).fill_null(False)).then(
            pl.coalesce(*missing, pl.lit("between"))
        ),
    )
    facts = {
        "labels": labelled.select(
            desirable=pl.col("label").sum(), undesirable=(~pl.col("label")).sum()
        )
    }
    if is_above(params.low, params.high):  # a quantile made them so, in this data
        said = f"low ({params.low:g}) is above high ({params.high:g}); what meets both is desirable"
        facts["warnings"] = pl.LazyFrame({"message": [said]})
    return labelled, facts
