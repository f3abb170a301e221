"""Rollouts: what a run would do with the lines of a rollout file."""

from __future__ import annotations

from collections.abc import Iterator

from gymrecipe.checking.finding import Finding, Level, found
from gymrecipe.checking.rows import watched
from gymrecipe.engines.local import default_workers, local
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.bad import BAD_LEAST, BAD_SHARE
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.chat import UNUSABLE, Unusable
from gymrecipe.rollouts.columns import parse_path
from gymrecipe.rollouts.engine import Advance
from gymrecipe.rollouts.files import Source, lines, without_mark
from gymrecipe.rollouts.messages import conversation
from gymrecipe.rollouts.naming import is_sidecar
from gymrecipe.rollouts.table import read_table
from gymrecipe.rollouts.wanted import Wanted
from gymrecipe.stages.load import Load, load

SIZES = 5
"""So many sizes of tasks are told, the most frequent ones."""


def findings(source: Source, notes: list[str], advance: Advance) -> Iterator[Finding]:
    """What is wrong with each line, and with the file; `notes` is told what is in it.

    An error is a line that is no rollout, a warning what makes a stage leave a rollout out.
    """
    if is_sidecar(source.name):
        yield found("warning", 0, "a sidecar file, which a run refuses unless sidecars=true")
    bad, rows = _table(source)
    yield from _bad(bad, bad.height + rows.height)
    if not rows.height:
        yield found("error", 0, "no rollouts")
        return
    usable = 0
    passed_over = iter(bad["line"])
    next_bad = next(passed_over, 0)
    for number, raw in enumerate(map(without_mark, lines(watched(source, advance))), 1):
        if number == next_bad:
            next_bad = next(passed_over, 0)
            continue
        if raw.data is None:
            continue
        try:
            conversation(raw.data)
            usable += 1
        except Unusable as fault:
            said = (UNUSABLE | BAD_LINE).get(fault.reason, "")
            said += f". Here: {fault.cause}" if fault.cause else ""
            yield found("warning", number, f"'write' rejects it as {fault.reason}: {said}")
    yield from _marked(rows)
    notes += _notes(rows, bad.height + rows.height, usable)


def _table(source: Source) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Why each bad line is one, and a row for each rollout with the task it answers."""
    params = Load()
    fields = tuple(map(parse_path, params.task_fields))
    wanted = Wanted(reward=parse_path(params.reward), task_fields=fields, max_bad_rows="100%")
    with local(default_workers()) as engine:
        table = read_table([source], wanted, engine, lambda count: None)
    rows, _ = load(table.rows.lazy(), params)
    names = ("line", "reward", "failed", "task_key", "id_hi", "id_lo")
    return table.bad, rows.select(names).collect()


def _bad(bad: pl.DataFrame, count: int) -> Iterator[Finding]:
    for line, reason in bad.select("line", "reason").iter_rows():
        level: Level = "warning" if reason == "blank" else "error"
        yield found(level, line, f"{reason}: {BAD_LINE[reason]}")
    counted = bad.filter(pl.col("reason") != "blank").height
    most = int(max(BAD_LEAST, BAD_SHARE * count))
    if counted > most:
        yield found(
            "error",
            0,
            f"{counted} of {count} lines are no rollouts, and a run stops at more than {most}."
            " Mend the file, or set max_bad_rows",
        )


def _marked(rows: pl.DataFrame) -> Iterator[Finding]:
    for line in rows.filter(pl.col("reward").is_null())["line"]:
        yield found("warning", line, "no reward: neither a threshold nor a pair can use it")
    for line in rows.filter("failed")["line"]:
        what = "the run broke: 'completed: true' leaves it out; its reward is a placeholder"
        yield found("warning", line, what)
    for line in rows.filter(pl.col("task_key").is_null())["line"]:
        what = "task_unclear: which task it answers cannot be told, so it is in no pair"
        yield found("warning", line, what)
    again = rows.filter(~pl.struct("id_hi", "id_lo").is_first_distinct())
    for line in again["line"]:
        yield found("warning", line, "the same line as one before it. {use: dedup} drops it")


def _notes(rows: pl.DataFrame, read: int, usable: int) -> Iterator[str]:
    """How much there is to make a dataset of."""
    yield f"{read:,} lines: {rows.height:,} rollouts, {usable:,} that can be written as messages"
    rewards = rows["reward"].drop_nulls().to_list()
    if rewards:
        low, mean, high = min(rewards), sum(rewards) / len(rewards), max(rewards)
        yield f"rewards from {low:.4g} to {high:.4g}, {mean:.4g} on average"
    tasks = (
        rows.drop_nulls("task_key")
        .group_by("task_key")
        .agg(n=pl.len(), spread=pl.col("reward").max() - pl.col("reward").min())
    )
    sizes = tasks["n"].value_counts().sort("count", "n", descending=True)
    shape = [
        f"{count:,} of {n:,} rollout{'s' * (n > 1)}" for n, count in sizes.head(SIZES).iter_rows()
    ]
    shape += ["…"] * (sizes.height > SIZES)
    differing = tasks.filter(pl.col("spread") > 0).height
    yield (
        f"tasks: {', '.join(shape) or 'none that is clear'}; {differing:,} with rewards that"
        " differ, which pairs need"
    )
