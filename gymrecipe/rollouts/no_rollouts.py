"""No rollouts: what is said where no line of the inputs is a rollout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gymrecipe.errors import DataError
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.bad import ASK, are_asked_too_much, in_lines
from gymrecipe.rollouts.bad_line_hints import found_instead
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.table import Table

NAMED = 3
"""So many inputs are named."""


def check_not_empty(sources: Sequence[Source]) -> None:
    """Raise DataError where there is no byte to read."""
    if not any(source.size for source in sources):
        what = "the file is empty" if len(sources) == 1 else "all of them are empty"
        raise DataError(f"{_names(sources)}: no rollouts: {what}.")


def check_rollouts(table: Table, sources: Sequence[Source]) -> None:
    """Raise DataError where no line is a rollout: for each reason its first line, then all."""
    if not table.rows.height:
        raise DataError(*_first_of_each(table.bad, sources), _none(table, sources))


def _none(table: Table, sources: Sequence[Source]) -> str:
    read = sum(each.lines for each in table.read)
    counts = dict(sorted(table.bad["reason"].value_counts().iter_rows()))
    said = f"{_names(sources)}: no rollouts: {read} line{'s' * (read != 1)} read"
    if counts.keys() <= {"blank"}:
        return f"{said}, {'all' if read > 1 else 'and it is'} blank." if read else f"{said}."
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    if are_asked_too_much(counts):
        return f"{said} ({reasons}). {ASK}"
    converted = next(filter(None, map(in_lines, sources)), "")
    return f"{said} ({reasons}). {converted or 'Is this a rollout file of NeMo Gym?'}"


def _first_of_each(bad: pl.DataFrame, sources: Sequence[Source]) -> Iterator[str]:
    first = pl.first("source", "line", "offset")
    counted = bad.group_by("reason", maintain_order=True).agg(first, pl.len())
    for reason, source, line, offset, count in counted.iter_rows():
        if reason != "blank":
            more = f" (the first of {count})" if count > 1 else ""
            has = found_instead(sources[source], offset, reason)
            yield f"{sources[source].name}:{line}: {reason}: {BAD_LINE[reason]}{more}.{has}"


def _names(sources: Sequence[Source]) -> str:
    names = ", ".join(source.name for source in sources[:NAMED])
    more = len(sources) - NAMED
    return f"{names} and {more} more" if more > 0 else names
