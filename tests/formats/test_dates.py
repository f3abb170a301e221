"""Which texts `datasets` takes for dates; `tests/checking/test_inferred.py` has more of them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from gymrecipe.formats.contents import Contents
from gymrecipe.formats.dates import is_date
from gymrecipe.formats.example import Example

DAY = "2024-01-01"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (DAY, True), (Raw(b'"2024-01-01T10:00:00+02:00"'), True),
        (Raw(b'"2024-01\\u002d01"'), True), ("2024-02-30", False), (Raw(b"20240101"), False),
        (Raw(b'["2024-01-01"]'), False), (20240101, False), (None, False), ([DAY], False),
    ],
)  # fmt: skip
def test_a_date_is_one_as_a_value_and_as_it_stands_in_a_line(value: Any, expected: bool) -> None:
    assert is_date(value) == expected


def test_a_column_has_dates_where_the_records_of_all_slices_have_nothing_else() -> None:
    slices = [
        [{"a": DAY, "b": DAY, "c": "x"}, {"a": "1999-12-31", "b": "", "c": "x"}],
        [],
        [{"a": None, "b": DAY, "c": DAY}, {"a": Raw(b"null"), "b": DAY, "c": None}],
    ]
    whole = Contents()
    for records in slices:
        contents = Contents()
        for record in records:
            contents.note(Example("sft", (), {}), record)
        whole.add(contents)
    assert whole.dates == {"a"}
