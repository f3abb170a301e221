"""Balance: how many rows one category or task may contribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gymrecipe.errors import hint
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params, Reads
from gymrecipe.registry import Facts, stage, unit_of
from gymrecipe.rollouts.columns import category_of, of_pair
from gymrecipe.stages.categories import categories

PLACE, GROUP, RANK = "the place", "the group", "the rank"
"""Columns of its own, called as no column of a recipe can be."""

MOST_TOLD = 20
"""So many groups are told where proportions name one without a row."""

Part = Annotated[float, Field(gt=0)]
Range = Annotated[list[Part], Field(min_length=2, max_length=2)]


def _called(shares: Any) -> Any:
    """The shares by the names of the groups, of which YAML reads 3 as a number."""
    if not isinstance(shares, dict):
        return shares
    return {category_of(k) if isinstance(k, int | float) else k: v for k, v in shares.items()}


Shares = Annotated[dict[str, Part | Range], Field(min_length=1), BeforeValidator(_called)]


class Balance(Params):
    """At most so many rows of each group, or groups in given proportions."""

    use: Literal["balance"] = "balance"
    by: Annotated[str, Reads("category", other_than=("task", "label"))] = "task"
    """What makes a group: `task`, `label` (`desirable` and `undesirable`), or a column of texts,
    numbers or booleans such as `metadata.category`. Rows without a value are a group of their own,
    `general`; those whose task is unclear are in no group, and stay."""
    most: Annotated[int, Field(ge=1)] | None = None
    """The most rows kept of one group."""
    proportions: Shares | None = None
    """Shares of the groups in the result, such as `{math: 2, code: 1}`: the largest result with
    these shares is kept, and groups that are not named are left out. A share may have room:
    `{desirable: [3, 4], undesirable: 3}` keeps as many as it can between 3 and 4 to 3."""
    prefer: Literal["draw", "reward", "shortest"] = "draw"
    """Which rows are kept: drawn, the best by reward (a pair: the widest gap), or the shortest
    answers (a pair: the shortest chosen ones)."""

    @model_validator(mode="after")
    def _one_way(self) -> Balance:
        if (self.most is None) == (self.proportions is None):
            raise ValueError("needs either most or proportions")
        if self.by == "task" and self.proportions is not None:
            raise ValueError("proportions need a column: by")
        for share in (self.proportions or {}).values():
            if isinstance(share, list) and share[0] > share[1]:
                raise ValueError("a share with room is [least, most]")
        return self


@stage(takes=("rollouts", "tasks", "pairs"), version=2)
def balance(rows: pl.LazyFrame, params: Balance) -> tuple[pl.LazyFrame, Facts]:
    """Keep at most `most` rows of each group, or groups in `proportions`.

    Rejects `over_quota`. Which rows stay does not depend on their order: ties go by draw. A row
    whose task is unclear is in no group, and stays.
    """
    pairs = unit_of(rows.collect_schema()) == "pairs"
    group = group_of(rows, params)
    orders = {
        "draw": (),
        "reward": ((pl.col("gap" if pairs else "reward").fill_null(float("-inf")), True),),
        "shortest": ((pl.col("chosen_answer_chars" if pairs else "answer_chars"), False),),
    }
    draws = ["draw", "rejected_draw"] if pairs else ["draw"]
    keys = [*orders[params.prefer], *((pl.col(draw), False) for draw in draws)]
    ranked = (
        rows.with_row_index(PLACE)
        .with_columns(group.alias(GROUP))
        .sort([key for key, _ in keys], descending=[down for _, down in keys], maintain_order=True)
        .with_columns(pl.int_range(pl.len()).over(GROUP).alias(RANK))
        .sort(PLACE)
    )
    over = (pl.col(RANK) >= quota(params)) & pl.col(GROUP).is_not_null()
    kept = ranked.with_columns(reason=pl.when(over).then(pl.lit("over_quota"))).drop(
        PLACE, GROUP, RANK
    )
    groups = rows.select(group)
    said = [*_absent(groups, params.proportions or {}), *_alone(groups, params)]
    return kept, {"warnings": pl.LazyFrame({"message": said}, schema={"message": pl.String})}


def group_of(rows: pl.LazyFrame, params: Balance) -> pl.Expr:
    """The group of each row; null where its task is unclear."""
    schema = rows.collect_schema()
    if params.by == "task":
        return pl.col("task_key")
    pairs = unit_of(schema) == "pairs"
    name = of_pair(params.by) if pairs and params.by != "label" else params.by
    return categories(name, schema.get(name, pl.String()))


def _absent(groups: pl.LazyFrame, named: Iterable[str]) -> Iterator[str]:
    """What is said of groups that are named and have no row: with one of them nothing is kept."""
    present = sorted(groups.unique().collect().to_series().drop_nulls()) if named else []
    known = set(present)
    absent = [name for name in named if name not in known] if known else []
    there, more = ", ".join(present[:MOST_TOLD]), len(present) - MOST_TOLD
    there += f" and {more} more" if more > 0 else ""
    for name in absent[:MOST_TOLD]:
        yield (
            f"no row is in '{name}', which proportions names, so that nothing is kept; the"
            f" groups are {there}.{hint(name, present)}"
        )
    if (more := len(absent) - MOST_TOLD) > 0:
        yield f"no row is in {more} more groups that proportions names."


def _alone(groups: pl.LazyFrame, params: Balance) -> Iterator[str]:
    """What is said where `most` takes rows of the only group that there is: nothing is balanced."""
    if params.most is None or params.by in ("task", "label"):
        return
    present = groups.collect().to_series()
    if present.n_unique() == 1 and len(present) > params.most:
        yield (
            f"'{present[0]}' is the {params.by} of every row, so that most={params.most} is a limit"
            " of all rows together. Balance by a column with several values."
        )


def quota(params: Balance) -> pl.Expr:
    """How many rows the GROUP of each may keep. Of proportions the scarcest group, relative to its
    share, sets the size.
    """
    if params.proportions is None:
        return pl.lit(params.most)
    ranges = {
        name: share if isinstance(share, list) else [share, share]
        for name, share in params.proportions.items()
    }
    shares = [
        pl.col(GROUP).replace_strict(
            list(ranges),
            [share[place] for share in ranges.values()],
            default=None,
            return_dtype=pl.Float64,
        )
        for place in (0, 1)
    ]
    # By a look at each row's group: conditions, one a group, would each hold those of all groups.
    is_whole = pl.col(GROUP).filter(shares[0].is_not_null()).n_unique() == len(ranges)
    size = pl.when(is_whole).then((pl.len().over(GROUP) / shares[0]).min()).otherwise(0.0)
    # 1e-9 so that 3 * (2 / 3) keeps 2 rows, not 1.
    return (size * shares[1] + 1e-9).floor().fill_null(0.0)
