"""Listing: the records of a verb that lists, drawn as one aligned table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from rich.console import Console

from gymrecipe.report.page import Page, Table, styled, title, words


def listing(
    records: Sequence[msgspec.Struct], console: Console, **drawn: Callable[[Any], str]
) -> None:
    """A table with a column for each field that some record has a value in, numbers aligned to the
    right. `drawn` says how the values of a field look.
    """
    names = records[0].__struct_fields__ if records else ()
    columns = {
        name: [drawn.get(name, _text)(getattr(record, name)) for record in records]
        for name in names
    }
    columns = {name: texts for name, texts in columns.items() if any(texts)}
    right = {place for place, texts in enumerate(columns.values()) if all(map(_is_number, texts))}
    last = len(columns) - 1
    head = [title(name.replace("_", " ")) for name in columns]
    table = Table(head, right=frozenset(right), between=" ")
    for line in zip(*columns.values(), strict=True):
        cells: list[Any] = [styled(text, most=2_000) for text in line]
        if last not in right:
            cells[last] = words(line[last], most=2_000)
        table.rows.append(cells)
    page = Page(console, indent=0)
    page.table(table)
    page.show()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return not text
    return True
