"""Terminal: a sweep, a difference and an example, drawn on a console that is given."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import UNSET
from rich.console import Console

from gymrecipe.experiments.diff import Change, Difference, Moved, Rows
from gymrecipe.experiments.manifest import Input, Manifest
from gymrecipe.report.page import Cell, Page, Table, join, styled, title, words
from gymrecipe.report.safe import asked, counted, number, safe, size

MOST_LINES = 60
MOST_TEXT = 400
MOST_CHANGES = 200


class SweepRow(msgspec.Struct, frozen=True):
    """A member of a sweep: the overrides that are its own, and its manifest or what went wrong."""

    overrides: tuple[str, ...]
    manifest: Manifest | None
    error: str | None
    code: int


def sweep(rows: list[SweepRow], console: Console) -> None:
    """A table that compares the members of a sweep; a failed one is a row with its error."""
    shared = set.intersection(*(set(row.overrides) for row in rows)) if len(rows) > 1 else set()
    made = [(row, _written(row)) for row in rows]
    figures = [each for _, written in made for _, each in written]
    several = any(len(written) > 1 for _, written in made)
    means = [name for name in ("gap", "reward") if any(name in each for each in figures)]
    columns = ["used", "rejected", "rows", "tasks", *(f"mean {name}" for name in means)]
    head: list[Cell] = [
        title("Sweep"),
        "version",
        *(["write"] if several else []),
        *columns,
    ]
    table = Table(head, right=frozenset(range(len(head) - len(columns), len(head))), between=" ")
    for row, written in made:
        own = " ".join(word for word in row.overrides if word not in shared)
        name: Cell = styled(own or "as it is", most=60)
        if row.error is not None or row.manifest is None:
            first = (row.error or "no version").strip().split("\n")[0]
            failed = styled(f"exit {row.code}", "red")
            table.rows.append((name, failed, words(first, most=400)))
            continue
        lines = row.manifest.lines
        version: Cell = row.manifest.version or "dry run"
        counts = [number(lines.used), number(lines.rejected)]
        for stage, each in written:
            table.rows.append(
                (
                    name,
                    version,
                    *([styled(stage, most=40)] if several else []),
                    *counts,
                    *(number(each.get(column)) for column in ("rows", "tasks")),
                    *(number(_mean(each, column)) for column in means),
                )
            )
            name, version, counts = "", "", ["", ""]
    page = Page(console)
    page.table(table)
    page.show(apart=True)


def difference(diff: Difference, console: Console) -> None:
    """What `diff` found: knobs, counts, inputs, and the rollouts and rows gained and lost."""
    page = Page(console)
    page.lines(join(styled(diff.a, "bold"), " → ", styled(diff.b, "bold")))
    page.table(_knobs(diff.knobs))
    page.table(_counts(diff.counts))
    page.table(_inputs(diff.inputs))
    page.table(_moved("Rollouts gained", "+", "green", diff.gained))
    page.table(_moved("Rollouts lost", "-", "red", diff.lost))
    page.table(_rows(diff.rows))
    if len(page.blocks) == 1:
        page.lines("No difference in knobs, counts, inputs, rollouts or rows.")
    page.show()


def example(name: str, text: str, console: Console) -> None:
    """One formatted example of a write, indented, its long texts cut."""
    try:
        lines = json.dumps(_cut(json.loads(text)), indent=2, ensure_ascii=False).split("\n")
    except (ValueError, RecursionError):
        lines = [text]
    body = [styled(f"  {line}", most=2 * MOST_TEXT) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        more = counted(len(lines) - MOST_LINES, "more line")
        body.append(styled(f"  and {more}", "dim"))
    page = Page(console)
    page.lines(styled(f"Example of {name}", "bold"), *body)
    page.show(apart=True)


def _written(row: SweepRow) -> list[tuple[str, dict[str, Any]]]:
    """The figures of each write, by its name."""
    if row.manifest is None:
        return []
    found: list[tuple[str, dict[str, Any]]] = [
        (stage.name, {"rows": stage.rows_out} | dict(row.manifest.statistics.get(stage.name, {})))
        for stage in row.manifest.writes
    ]
    return found or [("", {})]


def _mean(figures: dict[str, Any], name: str) -> Any:
    spread = figures.get(name)
    return spread.get("mean") if isinstance(spread, dict) else None


def _knobs(changes: list[Change]) -> Table:
    table = Table((title("Knobs"), ""), between=" ")
    for change in changes[:MOST_CHANGES]:
        a, b = _told_apart(change.a, change.b)
        table.rows.append((styled(change.name, most=60), [*words(a), "→", *words(b)]))
    if len(changes) > MOST_CHANGES:
        table.rows.append((f"and {len(changes) - MOST_CHANGES:,} more", []))
    return table


def _told_apart(*values: Any) -> list[str]:
    """Values that differ, as texts that do: in full where they are the same to the digits and
    characters of a knob.
    """
    short = ["-" if value is UNSET else asked(value) for value in values]
    if len({*short}) > 1:
        return short
    full = ["-" if value is UNSET else json.dumps(value, ensure_ascii=False) for value in values]
    signs = enumerate(zip(*full, strict=False))
    start = next((place for place, (a, b) in signs if a != b), 0) - MOST_TEXT // 2
    return [safe(f"…{text[start:]}" if start > 0 else text, MOST_TEXT) for text in full]


def _counts(changes: list[Change]) -> Table:
    head = (title("Counts"), "before", "after", "")
    table = Table(head, right=frozenset({1, 2, 3}))
    for change in changes[:MOST_CHANGES]:
        a, b = change.a, change.b
        by = f"{b - a:+,}" if isinstance(a, int) and isinstance(b, int) else ""
        shown = ("-" if count is UNSET else number(count) for count in (a, b))
        table.rows.append((styled(change.name, most=60), *shown, styled(by, "dim")))
    return table


def _inputs(changes: list[Change]) -> Table:
    table = Table((title("Inputs"), "", ""))
    for change in changes[:MOST_CHANGES]:
        name = styled(change.name, most=80)
        for sign, style, file in (("-", "red", change.a), ("+", "green", change.b)):
            if isinstance(file, Input):
                said = (counted(file.lines, "line"), size(file.bytes), safe(file.digest, 13))
                table.rows.append((name, styled(sign, style), list(said)))
                name = styled("")
    return table


def _moved(name: str, sign: str, style: str, moved: list[Moved]) -> Table:
    total = sum(each.count for each in moved)
    head = (title(name), styled(f"{sign}{total:,}", f"bold {style}"), "", "")
    table = Table(head, right=frozenset({1}), between=", ")
    for each in moved:
        reason = each.reason if each.stage else ""
        more: list[Cell] = ["…"] if each.count > len(each.examples) else []
        table.rows.append(
            (
                styled(each.stage or each.reason, most=40),
                styled(f"{sign}{each.count:,}", style),
                styled(reason, most=60),
                [*(styled(line, "dim", 60) for line in each.examples), *more],
            )
        )
    return table


def _rows(changes: list[Rows]) -> Table:
    table = Table((title("Rows"), "gained", "lost"), right=frozenset({1, 2}))
    for change in changes[:MOST_CHANGES]:
        signed = (("+", change.gained, "green"), ("-", change.lost, "red"))
        shown = (styled(f"{sign}{n:,}", style) if n else "-" for sign, n, style in signed)
        table.rows.append((styled(change.name, most=60), *shown))
    return table


def _cut(value: Any) -> Any:
    """A JSON value with its long texts cut."""
    if isinstance(value, str):
        return value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}…"
    if isinstance(value, list):
        return [_cut(part) for part in value]
    if isinstance(value, dict):
        return {key: _cut(part) for key, part in value.items()}
    return value
