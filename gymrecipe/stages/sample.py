"""Sample: a few rows of each band of a metric, for people to read."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE, Params, Reads
from gymrecipe.registry import Facts, stage


class Sample(Params):
    """How many rows of which bands."""

    use: Literal["sample"] = "sample"
    by: Annotated[str, Reads("number")] = "reward"
    """The metric whose bands are sampled; of tasks such as `success_rate`."""
    edges: list[float] = [0.5, 0.8]
    """Where the bands part: below the first, from one to the next, and from the last on."""
    sizes: list[Annotated[int, Field(ge=0)]] = [10, 20, 20]
    """How many rows of each band are kept: one number more than there are edges."""

    @model_validator(mode="after")
    def _fits(self) -> Sample:
        if len(self.sizes) != len(self.edges) + 1:
            raise ValueError("sizes needs one number more than edges")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must rise")
        return self


@stage(takes=("rollouts", "tasks"), version=1)
def sample(rows: pl.LazyFrame, params: Sample) -> tuple[pl.LazyFrame, Facts]:
    """Keep a drawn sample of each band of a metric.

    Rejects `not_sampled`, and `missing_<metric>` where there is none: it is in no band. A band with
    fewer rows than were asked for is told.
    """
    value, band = pl.col(params.by), band_of(params)
    rank = pl.col("draw").rank("ordinal").over(pl.when(value.is_not_null()).then(band))
    size = pl.lit(0)
    for index, most in enumerate(params.sizes):
        size = pl.when(band == index).then(most).otherwise(size)
    sampled = rows.with_columns(
        reason=pl.when(value.is_null())
        .then(pl.lit(f"missing_{params.by}"))
        .when(rank > size)
        .then(pl.lit("not_sampled"))
    )
    there = [(value.is_not_null() & (band == index)).sum() for index in range(len(params.sizes))]
    short = [
        pl.when(count < most).then(
            pl.format(
                "{} has {} of the {} rows that were asked for.",
                pl.lit(_called(params, index)),
                count,
                most,
            )
        )
        for index, (count, most) in enumerate(zip(there, params.sizes, strict=True))
    ]
    said = rows.select(message=pl.concat_str(short, separator=" ", ignore_nulls=True))
    return sampled, {"warnings": said.filter(pl.col("message") != "")}


def band_of(params: Sample) -> pl.Expr:
    """In which band each row is, counted from 0; of one without a value it says nothing."""
    above = (pl.col(params.by) >= edge - TOLERANCE for edge in params.edges)
    return pl.sum_horizontal(pl.lit(0), *above).cast(pl.Int64)


def _called(params: Sample, band: int) -> str:
    """`reward from 0.5 below 0.8`, the second band."""
    least = [f"from {edge:g}" for edge in params.edges[band - 1 : band] if band]
    most = [f"below {edge:g}" for edge in params.edges[band : band + 1]]
    return " ".join([params.by, *least, *most])
