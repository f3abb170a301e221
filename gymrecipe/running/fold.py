"""The fold: the stages over the table, one after the other, with every reject counted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from gymrecipe.experiments import fates
from gymrecipe.experiments.manifest import Output, StageRecord
from gymrecipe.experiments.written import WriteResult
from gymrecipe.formats.template import Template
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import changed
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import Step
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.frames import Spill, unspilled
from gymrecipe.rollouts.table import Table
from gymrecipe.running import remarks
from gymrecipe.running.judging import COUNTS, Judgement, counted, judged, judged_again
from gymrecipe.running.progress import Progress
from gymrecipe.running.stage_result import StageResult
from gymrecipe.running.stepping import all_rollouts, run_step
from gymrecipe.running.writing import Writer
from gymrecipe.stages.checks import Told
from gymrecipe.stages.filter import Filter
from gymrecipe.stages.validate import Validate
from gymrecipe.stages.write import Write


class Folded(msgspec.Struct):
    """What came of the stages of a plan.

    `records` says what each stage did, `outputs` are the data files, `used` is which rollouts stand
    in them (as in `fates.no_uses`) and `settled` the fate of each other one (as in
    `fates.no_fates`). `statistics` and `examples` are by the name of the write. `warnings` are to
    be told, and `stops` are the checks because of which nothing is to be published.
    """

    used: pl.DataFrame
    settled: pl.DataFrame
    records: list[StageRecord] = []
    outputs: list[Output] = []
    statistics: dict[str, Any] = {}
    examples: dict[str, str] = {}
    warnings: list[str] = []
    stops: list[str] = []

    def add(self, write: str, written: WriteResult) -> None:
        """Take up what a write made."""
        self.outputs += written.outputs
        self.warnings += written.warnings
        if written.example is not None:
            self.examples[write] = written.example
        if written.figures:
            self.statistics[write] = written.figures

    def heed(self, judgements: Iterable[Judgement]) -> None:
        """Take up what is said of checks that fail."""
        for level, sentence in judgements:
            (self.stops if level == "stop" else self.warnings).append(sentence)


def fold(
    plan: Plan,
    table: Table,
    files: list[Source],
    staged: Path,
    engine: Map,
    progress: Progress,
    templates: dict[str, Template],
    spill: Spill = unspilled,
) -> Folded:
    """Run the stages of a plan, one after the other, over the rollout table, and settle where each
    rollout ended. The data files are written into `staged`.
    """
    writer = Writer(plan, table, files, staged, engine, progress, templates, spill)
    results: dict[str, StageResult] = {}
    facts: dict[str, Told] = {}
    checked: dict[str, pl.DataFrame] = {}
    lost: list[pl.DataFrame] = []
    folded = Folded(fates.no_uses(), fates.no_fates(), warnings=[*table.warnings])
    uses = [folded.used]
    # What a step took, made and wrote is deleted behind it, and not in memory while the next runs.
    for place, step in enumerate(plan.steps):
        rows = all_rollouts(table) if step.source is None else results[step.source]
        made = run_step(plan, step, rows, _facts_above(step, facts), table, spill)
        results[step.name], facts[step.name] = made.result, made.facts
        lost.append(spill(fates.leaving(made.left, place)))
        rows_in, rows_out = rows.held.height, made.result.held.height
        rejected = _counts(made.left["reason"])
        if step.source is None:
            rows_in += table.bad.height
            rejected |= _counts(table.bad["reason"])
        folded.warnings += [*made.warnings, *remarks.of_texts(step, table.rows)]
        match step.params:
            case Write():
                written = writer.write(step, made.result)
                folded.add(step.name, written)
                uses += [spill(fates.uses(some)) for some in written.used]
                lost += [spill(fates.refused(place, some)) for some in written.rejected]
                rows_out = written.rows
                rejected |= written.reasons
                if written.causes:
                    made.facts["causes"] = written.told_causes()
                folded.heed(judged_again(step, made.result.held, written.written, checked, facts))
                del written
            case Validate() as params:
                folded.heed(judged(step.name, made.facts["checks"]))
                if params.limits().keys() & COUNTS:
                    checked[step.name] = counted(made.result.wide(table.rows))
            case Filter() as params:
                folded.warnings += remarks.of_filter(plan, step, params, rejected)
        template = templates.get(step.name)
        folded.records.append(stage_record(step, rows_in, rows_out, rejected, made.facts, template))
        folded.warnings += remarks.of_scale(plan, step, folded.records[-1], table.rows)
        later = {other.source for other in plan.steps[place + 1 :]}
        results = {name: result for name, result in results.items() if name in later}
        del rows, made
    folded.used = pl.concat(uses)
    folded.settled = spill(fates.settle(lost, folded.used))
    return folded


def stage_record(
    step: Step,
    rows_in: int,
    rows_out: int,
    rejected: dict[str, int],
    facts: Told,
    template: Template | None = None,
) -> StageRecord:
    """What a step did, for the manifest: `rejected` counts by reason in the step's own unit."""
    format = FORMATS[step.params.format] if isinstance(step.params, Write) else None
    return StageRecord(
        name=step.name,
        use=step.stage.name,
        version=step.stage.version,
        takes=step.takes,
        makes=step.makes,
        source=step.source or "",
        parameters=step.params.model_dump(mode="json"),
        changed=changed(step.params),
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=dict(sorted(rejected.items())),
        facts=facts,
        format_version=UNSET if format is None else format.version,
        template=UNSET if template is None else template.digest,
    )


def _facts_above(step: Step, facts: dict[str, Told]) -> Told:
    """The facts of the stages above, the nearest one's table where two have a name."""
    farthest_first = reversed(step.above)
    return {name: rows for above in farthest_first for name, rows in facts[above.name].items()}


def _counts(reasons: pl.Series) -> dict[str, int]:
    return dict(reasons.value_counts().iter_rows())
