"""Outcome: the tables of what came of a run, and why the rest did not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.reasons import meaning
from gymrecipe.report.page import Cell, Table, styled, title, words
from gymrecipe.report.safe import compact, counted, number
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE
from gymrecipe.rollouts.figures import told_apart

SPREAD = ("n", "mean", "std", "p0", "p10", "p50", "p90", "p100")
COUNTS = ("rows", "train", "validation", "tasks")
METRICS = ("n", "mean", "min", "max")
MOST_METRICS = 200
MOST_CATEGORIES = 20
MOST_CAUSES = 5
GROUPING = {
    "unclear": ("rollout", "no telling which of several tasks it answers", "never paired"),
    "indices_with_several_prompts": (
        "task index",
        "one index, several prompts",
        "each prompt is a task of its own",
    ),
    "prompts_with_several_indices": (
        "prompt",
        "one prompt, several task indices or agents",
        "each is a task of its own; group_by=_ng_task_index joins the agents",
    ),
    "prompts_with_and_without_index": (
        "prompt",
        "with a task index on some lines alone",
        "those without one are a task of their own",
    ),
    "prompts_in_several_runs": (
        "prompt",
        "in several inputs, a task of its own in each",
        "one glob, or group_by=PATH, joins them",
    ),
    "prompts_of_several_tasks": (
        "prompt",
        "one prompt, several tasks",
        "task_fields tell them apart",
    ),
    "groups_with_several_prompts": (
        "group",
        "one group, several prompts",
        "only rollouts of the same prompt are compared",
    ),
    "copies": ("rollout", "a line that was there before, byte for byte", "dedup keeps one of each"),
    "repeated_indices": (
        "rollout",
        "the indices and prompt of an earlier line, other bytes",
        "each counts; dedup same=_ng_rollout_index keep=last keeps the last",
    ),
    "incomplete_groups": ("group", "fewer rollouts than num_repeats", "kept as it is"),
}
"""What it means where the ways to tell tasks apart disagree, and what is made of it."""
OF_AUTO = (
    "indices_with_several_prompts",
    "prompts_with_several_indices",
    "prompts_with_and_without_index",
    "prompts_of_several_tasks",
)
"""Those of which something is made where tasks are told apart by `group_by: auto` alone."""


def result(manifest: Manifest, stage: StageRecord, figures: dict[str, Any], of: str) -> Table:
    """How many rows a write wrote, and of what."""
    table = Table((title(f"Result{of}"), ""))
    rows = [number(figures.get("rows", stage.rows_out))]
    rows += [f"{number(figures[name])} {name}" for name in COUNTS[1:3] if name in figures]
    table.rows.append(("rows", rows))
    if "tasks" in figures:
        table.rows.append(("tasks", [number(figures["tasks"])]))
    for rates in _rates(manifest, stage):
        table.rows.append(("pair rate", rates))
    for name, value in figures.items():
        if isinstance(value, dict) and value and not _is_spread(value):
            largest = sorted(value.items(), key=lambda item: (-_count(item[1]), str(item[0])))
            chunks = [f"{number(n)} {_called(key)}" for key, n in largest[:MOST_CATEGORIES]]
            if len(largest) > MOST_CATEGORIES:
                chunks.append(f"and {len(largest) - MOST_CATEGORIES:,} more")
            table.rows.append((styled(name, most=40), chunks))
    return table


def _called(category: str) -> str:
    """The category behind its count, told apart from it where it is a number."""
    name = compact(category, 40)
    return f"of {name}" if name[:1] in "-0123456789" else name


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
        if rate is None and stage is not None and stage.parameters.get("across_prompts"):
            yield ["none across prompts, where a task needs no second rollout"]
            continue
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


def spread(figures: dict[str, Any], where: str) -> Table:
    """The quantiles of the gaps, rewards and lengths that were kept."""
    table = _numbers(f"Kept{where}", SPREAD)
    for name, value in figures.items():
        if isinstance(value, dict) and _is_spread(value) and value["n"]:
            table.rows.append((name.replace("_", " "), *(number(value[key]) for key in SPREAD)))
    return table


def why_no_pair(stage: StageRecord, where: str) -> Table:
    """The fates of the tasks that gave no pair, in words."""
    table = Table(
        (title(f"Why no pair{where}"), "tasks", "rollouts", ""),
        right=frozenset({1, 2}),
        between=" ",
    )
    fates = stage.facts.get("tasks", [])
    lost = [row for row in fates if row.get("fate") != "paired"]
    for row in sorted(lost, key=lambda row: (-_count(row.get("rollouts")), str(row.get("fate")))):
        fate = str(row.get("fate"))
        # Rollouts whose task is not known are not one task, nor those of tasks of another fate.
        nowhere = fate == "task_unclear" or not row.get("tasks")
        tasks = "-" if nowhere else number(row.get("tasks"))
        table.rows.append(
            (styled(fate, most=40), tasks, number(row.get("rollouts")), words(meaning(fate), "dim"))
        )
    if spare := stage.rejected.get("not_selected"):
        said = words(meaning("not_selected"), "dim")
        table.rows.append(("not_selected", "-", number(spare), said))
    return table


def why_no_rollout(manifest: Manifest) -> Table:
    """The lines that are no rollouts."""
    return _reasons(manifest, "load", title("Why no rollout"), BAD_LINE)


def why_not_written(manifest: Manifest) -> Table:
    """The rows that cannot become a right example, with the most frequent causes."""
    return _reasons(manifest, "write", title("Why not written"), UNUSABLE)


def _reasons(manifest: Manifest, use: str, head: Cell, known: dict[str, str]) -> Table:
    table = Table((head, "", ""), right=frozenset({1}), between=" ")
    counts: dict[str, int] = {}
    causes: dict[str, dict[str, int]] = {}
    for stage in manifest.stages:
        for reason, count in stage.rejected.items() if stage.use == use else ():
            counts[reason] = counts.get(reason, 0) + count
        for row in stage.facts.get("causes", []) if stage.use == use else ():
            of_reason = causes.setdefault(str(row.get("reason")), {})
            cause = str(row.get("cause"))
            of_reason[cause] = of_reason.get(cause, 0) + _count(row.get("rows"))
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        said = words(known.get(reason) or meaning(reason), "dim")
        table.rows.append((styled(reason, most=40), number(count), said))
        often = sorted(causes.get(reason, {}).items(), key=lambda item: (-item[1], item[0]))
        for cause, rows in often[:MOST_CAUSES]:
            table.rows.append(("", number(rows), words(f"· {cause}")))
        if others := sum(rows for _, rows in often[MOST_CAUSES:]):
            table.rows.append(("", number(others), words("· and other causes", "dim")))
    return table


def grouping(manifest: Manifest) -> Table:
    """Where the ways to tell tasks apart disagree, and what was made of it."""
    table = Table((title("Grouping"), ""), between=" ")
    for stage in manifest.stages:
        auto = stage.parameters.get("group_by", "auto") == "auto"
        for figures in stage.facts.get("grouping", []):
            for name, (unit, seen, made) in GROUPING.items():
                if count := _count(figures.get(name)):
                    several = "task indices" if unit == "task index" else f"{unit}s"
                    said = f"{seen}: {made}" if auto or name not in OF_AUTO else seen
                    table.rows.append((counted(count, unit, several), words(said, "dim")))
    return table


def metrics(manifest: Manifest) -> Table:
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
            name: mapping(row) for name, row in mapping(manifest.statistics.get("metrics")).items()
        }
    for name, row in list(metrics.items())[:MOST_METRICS]:
        table.rows.append((styled(name, most=60), *(number(row.get(key)) for key in columns)))
    if len(metrics) > MOST_METRICS:
        table.rows.append((f"and {len(metrics) - MOST_METRICS:,} more", *[""] * len(columns)))
    return table


def checks(manifest: Manifest) -> Table:
    """Each check's figure with its limits."""
    table = Table((title("Checks"), "figure", "should be", ""), right=frozenset({1}))
    several = sum("checks" in stage.facts for stage in manifest.stages) > 1
    for stage in manifest.stages:
        for row in stage.facts.get("checks", []):
            name = f"{stage.name}: {row.get('check')}" if several else row.get("check")
            figure, limits = _figure_and_limits(row)
            table.rows.append((styled(name, most=60), figure, limits, _verdict(row)))
    return table


def _figure_and_limits(row: dict[str, Any]) -> tuple[Cell, Cell]:
    """A check's figure, and what it should be."""
    figure, least, most = row.get("figure"), row.get("min"), row.get("max")
    fails = row.get("ok") is False and isinstance(figure, float)
    shown = told_apart(number, figure, least, most) if fails else number
    if least is not None and most is not None:
        return shown(figure), f"{shown(least)} to {shown(most)}"
    limits = f"at most {shown(most)}" if least is None else f"at least {shown(least)}"
    return shown(figure), limits


def _verdict(row: dict[str, Any]) -> Cell:
    if row.get("figure") is None:
        return styled("nothing to judge", "dim")
    if row.get("ok") is True:
        return styled("ok", "green")
    return styled("stop", "bold red") if row.get("level") == "stop" else styled("warn", "yellow")


def _numbers(name: str, columns: tuple[str, ...]) -> Table:
    return Table((title(name), *columns), right=frozenset(range(1, len(columns) + 1)))


def _is_spread(value: dict[str, Any]) -> bool:
    return set(SPREAD) <= value.keys()


def mapping(value: Any) -> dict[str, Any]:
    """The value, or an empty mapping where a manifest has something else there."""
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
