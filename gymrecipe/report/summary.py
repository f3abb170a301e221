"""Summary: what a run did and what came of it, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.text import Text

from gymrecipe.experiments.explain import meaning
from gymrecipe.experiments.ledger import resolved
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.registry import STAGES
from gymrecipe.report.page import Cell, Page, Table, join, styled, words
from gymrecipe.report.safe import asked, compact, counted, number, size
from gymrecipe.rollouts.lines import BAD_LINE
from gymrecipe.rollouts.messages import UNUSABLE

SHOWN = {
    "pair": ("strategy", "by", "min_gap"),
    "balance": ("by", "most"),
    "sample": ("by", "edges", "sizes"),
    "dedup": ("same",),
    "write": ("format",),
}
"""Parameters that say what a stage does, shown also where they are the default."""
TIERS = ("high", "low")
SPREAD = ("n", "mean", "std", "p0", "p10", "p50", "p90", "p100")
COUNTS = ("rows", "train", "validation", "tasks")
METRICS = ("n", "mean", "min", "max")
MOST_METRICS = 200
MOST_CATEGORIES = 20
MOST_INPUTS = 3
GROUPING = {
    "unclear": ("rollout", "no telling which of several tasks it answers: never paired"),
    "indices_with_several_prompts": (
        "task index",
        "one index, several prompts: each prompt is a task of its own",
    ),
    "prompts_with_several_indices": (
        "prompt",
        "one prompt, several task indices: each index is a task of its own",
    ),
    "prompts_of_several_tasks": (
        "prompt",
        "one prompt, several tasks by task_fields: each is a task of its own",
    ),
    "groups_with_several_prompts": (
        "group",
        "one group, several prompts: only rollouts of the same prompt are compared",
    ),
    "incomplete_groups": ("group", "fewer rollouts than num_repeats: kept as it is"),
}
"""What it means where the ways to tell tasks apart disagree."""


def summary(manifest: Manifest, console: Console) -> None:
    """The end of a run, and what `show` shows of a version: its manifest, for people."""
    page = Page(console)
    page.lines(join(*_head(manifest)))
    page.table(_stages(manifest))
    page.table(_knobs(manifest))
    writes = [stage for stage in manifest.stages if stage.use == "write"]
    for stage in writes:
        of, within = (f" of {stage.name}", f" in {stage.name}") if len(writes) > 1 else ("", "")
        figures = _mapping(manifest.statistics.get(stage.name))
        page.table(_result(manifest, stage, figures, f"Result{of}"))
        page.table(_spread(figures, f"Kept{within}"))
    pairs = [stage for stage in manifest.stages if stage.use == "pair"]
    for stage in pairs:
        page.table(_why_no_pair(stage, f" in {stage.name}" if len(pairs) > 1 else ""))
    page.table(_reasons(manifest, "load", "Why no rollout", BAD_LINE))
    page.table(_reasons(manifest, "write", "Why not written", UNUSABLE))
    page.table(_grouping(manifest))
    page.table(_metrics(manifest))
    page.table(_checks(manifest))
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
    table = Table((_title("Stages"), "", "in", "out", "", "left"), right=frozenset({2, 3}))
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
    table = Table((_title("Knobs"), ""))
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
    for file in manifest.inputs[:MOST_INPUTS]:
        name = compact(PurePath(file.path).name)
        yield join(styled("input=", "dim"), f"{name} ({size(file.bytes)})")
    if len(manifest.inputs) > MOST_INPUTS:
        total = sum(file.bytes for file in manifest.inputs)
        more = len(manifest.inputs) - MOST_INPUTS
        yield f"and {counted(more, 'more file')}, {size(total)} together"


def _chosen(stage: StageRecord) -> Iterator[tuple[str, Any]]:
    """The parameters that say what was asked of a stage: those that are not the defaults."""
    entry = STAGES.get(stage.use)
    fields = entry.params.model_fields if entry else {}
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in fields.items()
        if not field.is_required()
    }
    tiers = TIERS if stage.parameters.get("strategy") == "tiers" else ()
    always = (*SHOWN.get(stage.use, ()), *tiers) if stage.takes != "metrics" else ()
    hidden = {"load": {"use", "input"}, "validate": {"use", "checks"}}.get(stage.use, {"use"})
    for name, value in stage.parameters.items():
        differs = value != defaults.get(name) and value not in (None, [], {})
        if (differs or name in always) and name not in hidden and value is not None:
            yield name, value


def _result(manifest: Manifest, stage: StageRecord, figures: dict[str, Any], title: str) -> Table:
    table = Table((_title(title), ""))
    rows = [number(figures.get("rows", stage.rows_out))]
    rows += [f"{number(figures[name])} {name}" for name in COUNTS[1:3] if name in figures]
    table.rows.append(("rows", rows))
    if "tasks" in figures:
        table.rows.append(("tasks", [number(figures["tasks"])]))
    for rates in _rates(manifest, stage):
        table.rows.append(("pair rate", rates))
    for name, value in figures.items():
        if isinstance(value, dict) and not _is_spread(value):
            largest = sorted(value.items(), key=lambda item: (-_count(item[1]), str(item[0])))
            chunks = [f"{number(n)} {compact(key, 40)}" for key, n in largest[:MOST_CATEGORIES]]
            if len(largest) > MOST_CATEGORIES:
                chunks.append(f"and {len(largest) - MOST_CATEGORIES:,} more")
            table.rows.append((styled(name, most=40), chunks))
    return table


def _rates(manifest: Manifest, write: StageRecord) -> Iterator[list[str]]:
    by_name = {stage.name: stage for stage in manifest.stages}
    stage: StageRecord | None = write
    while stage is not None and stage.use != "pair":
        # A stage comes after its source, so that no manifest can lead in a circle.
        above = by_name.get(stage.source)
        earlier = above is not None and manifest.stages.index(above) < manifest.stages.index(stage)
        stage = above if earlier else None
    for rates in stage.facts.get("rates", []) if stage else []:
        rate, per_task = rates.get("pair_rate"), rates.get("pairs_per_task")
        if rate is None:
            yield ["no task has two usable rollouts"]
            continue
        two = counted(_count(rates.get("tasks_with_two")), "task")
        said = [
            f"{rate:.0%}" if isinstance(rate, int | float) else number(rate),
            f"{number(rates.get('tasks_with_pair'))} of {two} with two usable rollouts or more",
        ]
        if per_task is not None:
            said.append(f"{number(per_task)} {'pair' if per_task == 1 else 'pairs'} per task")
        yield said


def _spread(figures: dict[str, Any], title: str) -> Table:
    table = _numbers(title, SPREAD)
    for name, value in figures.items():
        if isinstance(value, dict) and _is_spread(value):
            table.rows.append((name.replace("_", " "), *(number(value[key]) for key in SPREAD)))
    return table


def _why_no_pair(stage: StageRecord, of: str) -> Table:
    table = Table(
        (_title(f"Why no pair{of}"), "tasks", "rollouts", ""), right=frozenset({1, 2}), between=" "
    )
    fates = stage.facts.get("tasks", [])
    lost = [row for row in fates if row.get("fate") != "paired"]
    for row in sorted(lost, key=lambda row: (-_count(row.get("rollouts")), str(row.get("fate")))):
        fate = str(row.get("fate"))
        # Rollouts whose task is not known are not one task.
        tasks = "-" if fate == "task_unclear" else number(row.get("tasks"))
        table.rows.append(
            (styled(fate, most=40), tasks, number(row.get("rollouts")), words(meaning(fate), "dim"))
        )
    if spare := stage.rejected.get("not_selected"):
        said = words(meaning("not_selected"), "dim")
        table.rows.append(("not_selected", "-", number(spare), said))
    return table


def _reasons(manifest: Manifest, use: str, title: str, known: dict[str, str]) -> Table:
    """The lines or rows that a stage of this use could not take, each reason in words."""
    table = Table((_title(title), "", ""), right=frozenset({1}), between=" ")
    counts: dict[str, int] = {}
    for stage in manifest.stages:
        for reason, count in stage.rejected.items() if stage.use == use else ():
            counts[reason] = counts.get(reason, 0) + count
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        said = words(known.get(reason) or meaning(reason), "dim")
        table.rows.append((styled(reason, most=40), number(count), said))
    return table


def _grouping(manifest: Manifest) -> Table:
    table = Table((_title("Grouping"), ""), between=" ")
    for stage in manifest.stages:
        for figures in stage.facts.get("grouping", []):
            for name, (unit, said) in GROUPING.items():
                if count := _count(figures.get(name)):
                    several = "task indices" if unit == "task index" else f"{unit}s"
                    table.rows.append((counted(count, unit, several), words(said, "dim")))
    return table


def _metrics(manifest: Manifest) -> Table:
    """What `aggregate` made, or else the mean of every numeric field over the rollouts read."""
    for stage in manifest.stages:
        if stage.use == "aggregate":
            columns: tuple[str, ...] = ("count", "mean", "std", "min", "max")
            table = _numbers("Metrics", columns)
            metrics = {str(row.get("metric")): row for row in stage.facts.get("metrics", [])}
            break
    else:
        columns = METRICS
        table = _numbers("Metrics read", columns)
        metrics = {
            name: _mapping(row)
            for name, row in _mapping(manifest.statistics.get("metrics")).items()
        }
    for name, row in list(metrics.items())[:MOST_METRICS]:
        table.rows.append((styled(name, most=60), *(number(row.get(key)) for key in columns)))
    if len(metrics) > MOST_METRICS:
        table.rows.append((f"and {len(metrics) - MOST_METRICS:,} more", *[""] * len(columns)))
    return table


def _checks(manifest: Manifest) -> Table:
    table = Table((_title("Checks"), "figure", "should be", ""), right=frozenset({1}))
    several = sum("checks" in stage.facts for stage in manifest.stages) > 1
    for stage in manifest.stages:
        for row in stage.facts.get("checks", []):
            name = f"{stage.name}: {row.get('check')}" if several else row.get("check")
            table.rows.append(
                (styled(name, most=60), number(row.get("figure")), _limits(row), _verdict(row))
            )
    return table


def _limits(row: dict[str, Any]) -> Cell:
    least, most = row.get("min"), row.get("max")
    if least is not None and most is not None:
        return f"{asked(least)} to {asked(most)}"
    return f"at most {asked(most)}" if least is None else f"at least {asked(least)}"


def _verdict(row: dict[str, Any]) -> Cell:
    if row.get("figure") is None:
        return styled("nothing to judge", "dim")
    if row.get("ok") is True:
        return styled("ok", "green")
    return styled("stop", "bold red") if row.get("level") == "stop" else styled("warn", "yellow")


def _red_flags(manifest: Manifest) -> Table:
    table = Table((_title("Red flags", "bold yellow"), ""), between=" ", aligned=False)
    table.rows += [(styled("!", "bold yellow"), words(text)) for text in manifest.warnings]
    return table


def _title(text: str, style: str = "bold") -> Text:
    return styled(text, style)


def _numbers(title: str, columns: tuple[str, ...]) -> Table:
    return Table((_title(title), *columns), right=frozenset(range(1, len(columns) + 1)))


def _is_spread(value: dict[str, Any]) -> bool:
    return set(SPREAD) <= value.keys()


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
