"""What a file is checked for takes time that grows with its rows, columns and faults."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gymrecipe.check import model_of
from gymrecipe.checking.faults import faults
from gymrecipe.checking.inferred import Loader
from gymrecipe.checking.rows import Row
from gymrecipe.checking.together import Together


class Looked(dict[str, Any]):
    """A row that counts how often it is asked for a column."""

    times = 0

    def __contains__(self, name: object) -> bool:
        Looked.times += 1
        return super().__contains__(name)


def test_rows_are_asked_for_few_columns_where_each_has_one_of_its_own() -> None:
    rows = [Looked({"a": 1, f"k{n}": n}) for n in range(300)]
    together, loader = Together(), Loader()
    losses = []
    for line, row in enumerate(rows, 1):
        together.add(Row(line, b"%d" % line, row))
        losses += loader.add(line, b"%d" % line, row)
    assert Looked.times < 4 * len(rows)
    told = [(finding.line, finding.what) for finding in together.end("sft", True)]
    said = "on 1 of 300 rows. Write it on all, null where there is none"
    assert told == [(2, f"k0: {said}"), *((n + 1, f"k{n}: {said}") for n in range(1, 300))]
    assert [*losses, *loader.end()] == []


def test_a_column_that_is_on_every_row_so_far_is_missed_on_the_first_row_without_it() -> None:
    together = Together()
    for line, names in enumerate(["ab", "ab", "a", "ab", "bc"], 1):
        together.add(Row(line, b"%d" % line, dict.fromkeys(names, 1)))
    without = {name: column.without for name, column in together.columns.items()}
    assert without == {"a": 5, "b": 3, "c": 1}


def test_a_json_text_with_many_faults_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = [{"type": "function", "function": {"nam": f"f{n}"}} for n in range(50)]
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    record = {"messages": turns, "tools": msgspec.json.encode(tools).decode()}
    form = model_of("trl").LINES["sft"]
    times, own = 0, msgspec.json.decode

    def counting(text: str) -> Any:
        nonlocal times
        times += 1
        return own(text)

    monkeypatch.setattr("gymrecipe.checking.faults.msgspec.json.decode", counting)
    found = [*faults(record, form[0] if isinstance(form, tuple) else form)]
    assert len(found) == 50
    assert times < 5
