"""Findings as they are shown: those that are alike together, errors first."""

import json

from gymrecipe.check import Checking
from gymrecipe.checking.finding import found
from gymrecipe.report import checked
from gymrecipe.report.checked import Tally
from gymrecipe.report.safe import as_line


def counted(*findings: tuple[str, int, str]) -> Tally:
    into = Tally()
    list(into.count(found(level, line, what) for level, line, what in findings))  # type: ignore[arg-type]
    return into


def test_a_finding_is_file_line_level_and_what() -> None:
    into = counted(("error", 3, "a: is missing"), ("error", 0, "no rows"))
    assert list(checked.findings("x.jsonl", into)) == [
        "x.jsonl: error: no rows",
        "x.jsonl:3: error: a: is missing",
    ]


def test_errors_come_first_and_then_the_first_line() -> None:
    into = counted(("warning", 1, "w"), ("error", 9, "b"), ("error", 2, "a"))
    shown = list(checked.findings("x", into))
    assert [line.split(":")[1] for line in shown] == ["2", "9", "1"]


def test_findings_that_are_alike_are_shown_once_with_their_lines_and_their_number() -> None:
    into = counted(*(("error", line, f"a.{line}: got '{line}'") for line in range(1, 1_204)))
    assert list(checked.findings("x", into)) == [
        "x:1: error: a.1: got '1'",
        "  also on line 2, 3 and 1,200 more",
    ]
    assert (into.errors, into.warnings) == (1_203, 0)


def test_a_line_that_has_it_in_several_places_is_named_once() -> None:
    again = [("error", line, f"a.{i}: got '{i}'") for line in (1, 1, 2, 2, 2) for i in (0, 1)]
    assert list(checked.findings("x", counted(*again))) == [
        "x:1: error: a.0: got '0'",
        "  also on line 2",
    ]
    assert len(list(checked.findings("x", counted(*again[:4])))) == 1


def test_kinds_without_end_are_counted_only() -> None:
    into = counted(*(("error", 1, "x" * length) for length in range(1, 252)))
    shown = list(checked.findings("x", into))
    assert len(shown) == checked.KINDS + 1
    assert shown[-1] == "x: 51 findings of further kinds"
    assert into.errors == 251


def test_what_a_terminal_would_act_on_is_written_out() -> None:
    into = counted(("error", 1, "key '\x1b]0;x\x07' \u202e"))
    (shown,) = checked.findings("\x1b[31m.jsonl", into)
    assert shown == "\\x1b[31m.jsonl:1: error: key '\\x1b]0;x\\x07' \\u202e"


def test_json_has_the_file_the_line_the_level_and_what() -> None:
    (line,) = [as_line(checked.told("caf\udce9", one)) for one in [found("warning", 0, "x\x1b")]]
    assert json.loads(line) == {
        "file": "caf\\udce9",
        "line": None,
        "level": "warning",
        "what": "x\x1b",
    }
    assert "\x1b" not in line


def test_the_outcome_says_as_what_a_file_was_checked() -> None:
    checking = Checking("trl", "dpo", is_told=False, rows=1_200, notes=["more"])
    assert list(checked.outcome("x", checking, counted(("error", 1, "a"), ("error", 1, "b")))) == [
        "x: 1,200 rows as format=trl purpose=dpo (by its columns): 2 errors, 0 warnings",
        "more",
    ]
    told = Checking("trl", "dpo", is_told=True, rows=1)
    (said,) = checked.outcome("x", told, counted())
    assert said == "x: 1 row as format=trl purpose=dpo: 0 errors, 0 warnings"
    nothing = Checking("rollouts", None, is_told=False)
    assert next(checked.outcome("x", nothing, counted())).startswith("x: format=rollouts: 0 err")
