"""Summary: what a run did and what came of it, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from gymrecipe.experiments.inputs import short_names
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.experiments.recorded import COUNTS_WITH, in_force, resolved
from gymrecipe.report import outcome
from gymrecipe.report.page import Cell, Page, Table, join, styled, title, words
from gymrecipe.report.safe import asked, compact, counted, number, size

SHOWN = {
    "pair": ("strategy", "by", "min_gap"),
    "balance": ("by", "most"),
    "sample": ("by", "edges", "sizes"),
    "dedup": ("same",),
    "label": ("by", "high", "low"),
    "tasks": ("success_at",),
    "write": ("format",),
}
"""Parameters that say what a stage does, shown also where they are the default."""
MOST_INPUTS = 3


def summary(manifest: Manifest, console: Console) -> None:
    """The end of a run, and what `show` shows of a version: its manifest, for people."""
    page = Page(console)
    page.lines(join(*_head(manifest)))
    page.table(_stages(manifest))
    page.table(_knobs(manifest))
    several = len(manifest.writes) > 1
    for stage in manifest.writes:
        of, within = (f" of {stage.name}", f" in {stage.name}") if several else ("", "")
        figures = outcome.mapping(manifest.statistics.get(stage.name))
        page.table(outcome.result(manifest, stage, figures, of))
        page.table(outcome.spread(figures, within))
    pairs = [stage for stage in manifest.stages if stage.use == "pair"]
    for stage in pairs:
        page.table(outcome.why_no_pair(stage, f" in {stage.name}" if len(pairs) > 1 else ""))
    page.table(outcome.why_no_rollout(manifest))
    page.table(outcome.why_not_written(manifest))
    page.table(outcome.grouping(manifest))
    page.table(outcome.metrics(manifest))
    page.table(outcome.checks(manifest))
    page.table(_red_flags(manifest))
    page.show()


def _head(manifest: Manifest) -> Iterator[Cell]:
    lines = manifest.lines
    yield styled(manifest.name, "bold")
    if manifest.version:
        yield styled(f" {manifest.version}", "bold")
    else:
        dry = manifest.parameters.get("dry_run") is True
        yield styled(" dry run" if dry else " not published", "bold yellow")
    figures = (
        counted(lines.read, "line") + " read",
        f"{lines.used:,} used",
        f"{lines.rejected:,} rejected",
    )
    for figure in figures:
        yield styled(" · ", "dim")
        yield figure


def _stages(manifest: Manifest) -> Table:
    table = Table((title("Stages"), "", "in", "out", "", "left"), right=frozenset({2, 3}))
    before = ""
    for stage in manifest.stages:
        use = stage.use if stage.source in ("", before) else f"{stage.use} of {stage.source}"
        unit = "rows" if stage.use == "write" else stage.makes
        left = sorted(stage.rejected.items(), key=lambda item: (-item[1], item[0]))
        table.rows.append(
            (
                styled(stage.name, most=40),
                styled(use if use != stage.name else "", "dim", 40),
                number(stage.rows_in),
                number(stage.rows_out),
                styled(unit, "dim"),
                [f"{count:,} {compact(reason)}" for reason, count in left],
            )
        )
        before = stage.name
    return table


def _knobs(manifest: Manifest) -> Table:
    table = Table((title("Knobs"), ""))
    for stage in manifest.stages:
        chunks = [*_read(manifest)] if stage.use == "load" else []
        numbers = resolved(stage)
        for name, value in _chosen(stage):
            said = asked(value) + (f" → {asked(numbers[name])}" if name in numbers else "")
            chunks.append(join(styled(f"{name}=", "dim"), styled(said)))
        if chunks:
            table.rows.append((styled(stage.name, most=40), chunks))
    return table


def _read(manifest: Manifest) -> Iterator[Cell]:
    """The input files, by name: where they lie is in the manifest."""
    names = short_names(manifest.inputs)
    for place, file in enumerate(manifest.inputs[:MOST_INPUTS]):
        name = f"{compact(names[place])} ({size(file.bytes)})"
        yield name if place else join(styled("input=", "dim"), name)
    if len(manifest.inputs) > MOST_INPUTS:
        total = sum(file.bytes for file in manifest.inputs)
        more = len(manifest.inputs) - MOST_INPUTS
        yield f"and {counted(more, 'more file')}, {size(total)} together"


def _chosen(stage: StageRecord) -> Iterator[tuple[str, Any]]:
    """The parameters that say what was asked of a stage: those that are not the defaults."""
    always = [*SHOWN.get(stage.use, ())] if stage.takes != "metrics" else []
    always += [name for use, name in COUNTS_WITH if use == stage.use and in_force(stage, name)]
    hidden = {"load": {"use", "input"}, "validate": {"use", "checks"}}.get(stage.use, {"use"})
    for name, value in stage.parameters.items():
        differs = name in stage.changed and value not in ([], {})
        if (differs or name in always) and name not in hidden and value is not None:
            yield name, value


def _red_flags(manifest: Manifest) -> Table:
    table = Table((title("Red flags", "bold yellow"), ""), between=" ", aligned=False)
    table.rows += [(styled("!", "bold yellow"), words(text)) for text in manifest.warnings]
    return table
