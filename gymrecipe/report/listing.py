"""Listing: the rows of a verb that lists, drawn as one aligned table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from gymrecipe.report.page import Page, Table, styled, words
from gymrecipe.report.safe import compact, number


def listing(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], console: Console) -> None:
    """A small table for the verbs that list; columns of numbers are aligned to the right."""
    last = len(columns) - 1
    texts = [[_shown(row.get(column)) for column in columns] for row in rows]
    right = {
        place
        for place in range(len(columns))
        if any(line[place] for line in texts) and all(_is_number(line[place]) for line in texts)
    }
    table = Table([styled(column, "bold") for column in columns], right=frozenset(right))
    table.between = " "
    for line in texts:
        cells: list[Any] = [styled(text, most=2_000) for text in line]
        if last not in right:
            cells[last] = words(line[last], most=2_000)
        table.rows.append(cells)
    page = Page(console, indent=0)
    page.table(table)
    page.show()


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return compact(value, 2_000) if isinstance(value, list | dict) else number(value)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return not text
    return True
