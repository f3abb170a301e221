"""Categories: what the groups are called that the values of a column make."""

from __future__ import annotations

from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.columns import GENERAL, split_side

DESIRABLE = {True: "desirable", False: "undesirable"}
"""What the groups of the column `label` are called."""


def categories(name: str, kind: pl.DataType) -> pl.Expr:
    """The category of each row: a text itself, 3 for 3.0, and `general` where there is none."""
    value = pl.col(name)
    if split_side(name)[1] == "label":
        return value.replace_strict(DESIRABLE, return_dtype=pl.String)
    text = value.cast(pl.String)
    if kind.is_float():
        whole = value.cast(pl.Int64, strict=False)
        text = pl.when(value == whole).then(whole.cast(pl.String)).otherwise(text)
    return text.fill_null(GENERAL)
