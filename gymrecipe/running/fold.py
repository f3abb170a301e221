"""The fold: the stages over the table, one after the other, with every reject counted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gymrecipe.experiments import fates
from gymrecipe.experiments.data import write_data, write_metrics
from gymrecipe.experiments.manifest import Output, StageRecord
from gymrecipe.experiments.statistics import CATEGORIES, FIGURES, Grounds, grounds, statistics
from gymrecipe.experiments.written import WriteResult
from gymrecipe.formats.template import Template
from gymrecipe.late import pl
from gymrecipe.planning.beside import columns_of
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import Step, purpose_of
from gymrecipe.registry import is_ours
from gymrecipe.rollouts.columns import INPUT, PAIR_COLUMNS, ROWS, split_side
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.frames import LARGE_ROWS, Spill, give_back, unspilled
from gymrecipe.rollouts.places import looked_up
from gymrecipe.rollouts.table import Table
from gymrecipe.running import remarks
from gymrecipe.running.blame import blaming, check_columns, check_rows
from gymrecipe.running.calling import call, naming_what_is_missing, resolve
from gymrecipe.running.judging import COUNTS, counted, judged, judged_again
from gymrecipe.running.progress import Progress
from gymrecipe.running.records import stage_record
from gymrecipe.running.wide import StageResult, narrow
from gymrecipe.stages.checks import Told
from gymrecipe.stages.filter import Filter
from gymrecipe.stages.validate import Validate
from gymrecipe.stages.write import Write


class Fold:
    """The stages of a plan, run one after the other over the rollout table.

    After a `run` `records` says what each stage did, `outputs` are the data files in `staged`,
    `used` is which rollouts stand in them (as in `fates.no_uses`) and `settled` the fate of each
    other one (as in `fates.no_fates`). `statistics` and `examples` are by the name of the write.
    `warnings` are to be told, and `stops` are the checks because of which nothing is to be
    published.
    """

    def __init__(
        self,
        plan: Plan,
        table: Table,
        files: list[Source],
        staged: Path,
        engine: Map,
        progress: Progress,
        templates: dict[str, Template],
        spill: Spill = unspilled,
    ) -> None:
        self.plan, self.table, self.files, self.staged = plan, table, files, staged
        self._engine, self._progress, self._spill = engine, progress, spill
        self._templates = templates
        self._results: dict[str, StageResult] = {}
        self._entered: dict[str, pl.Series] = {}
        self._facts: dict[str, Told] = {}
        self._checked: dict[str, pl.DataFrame] = {}
        self._fates: list[pl.DataFrame] = []
        self._uses: list[pl.DataFrame] = []
        self.records: list[StageRecord] = []
        self.outputs: list[Output] = []
        self.statistics: dict[str, Any] = {}
        self.warnings = list(table.warnings)
        self.stops: list[str] = []
        self.examples: dict[str, str] = {}

    def run(self) -> Fold:
        """Run every stage, and settle where each rollout ended."""
        for place, step in enumerate(self.plan.steps):
            self.step(step, place)
        self.used = pl.concat([fates.no_uses(), *self._uses])
        self.settled = self._spill(fates.settle(self._fates, self.used))
        return self

    def write_records(self) -> int:
        """Write where every line ended beside the data. Gives the number of lines rejected."""
        return fates.write_records(
            self.staged,
            self.table.rows,
            self.table.bad,
            self.settled,
            self.used,
            [step.name for step in self.plan.steps],
            [file.name for file in self.files],
        )

    def step(self, step: Step, place: int) -> None:
        """Run one stage: keep its result, count who leaves, and record what it did."""
        rows_in = self.rows(step).held.height
        params, result, left, facts = self.split(step)
        self._facts[step.name] = facts
        self._fates.append(self._spill(fates.leaving(left, place)))
        rejected, rows_out = _counts(left["reason"]), result.held.height
        if step.source is None:
            rejected |= _counts(self.table.bad["reason"])
            rows_in += self.table.bad.height
        if isinstance(params, Write):
            written = self._write(step, params, place, result)
            rows_out = written.rows
            rejected |= written.reasons
            if written.causes:
                facts["causes"] = written.told_causes()
        else:
            self._results[step.name] = result
        if isinstance(params, Validate):
            self._tell(judged(step.name, facts["checks"]))
            if any(name in COUNTS for name in params.limits()):
                self._checked[step.name] = counted(result.wide(self.table.rows))
        self.warnings += remarks.of_texts(step, self.table.rows)
        if isinstance(params, Filter):
            self.warnings += remarks.of_filter(self.plan, step, params, rejected)
        template = self._templates.get(step.name)
        self.records.append(stage_record(step, rows_in, rows_out, rejected, facts, template))
        self._forget(place)

    def split(self, step: Step) -> tuple[Any, StageResult, pl.DataFrame, Told]:
        """The parameters of a stage as numbers, the rows that stay, those that leave, the facts."""
        params, made, names, facts = self._made(step)
        if "reason" not in made.columns:
            made = made.with_columns(reason=pl.lit(None, pl.Categorical()))
        if step.source is None:
            # From here on the rollouts are here once, and the rows only say which they are.
            self.table.rows = made.drop("reason")
            made = made.select("row", "reason")
        left = made.filter(pl.col("reason").is_not_null())
        # A filter copies every column, and most stages keep every row.
        kept = made.filter(pl.col("reason").is_null()) if left.height else made
        kept = self._spill(kept.drop("reason"))
        return params, StageResult(kept, names), left, facts

    def _made(self, step: Step) -> tuple[Any, pl.DataFrame, tuple[str, ...], Told]:
        """The parameters of a stage as numbers, what it makes as far as that has to be held, the
        names of all its columns, and its facts. Its warnings are told.
        """
        rows = self.rows(step)
        wide = rows.wide(self.table.rows)
        with naming_what_is_missing(self.plan, step, wide):
            params, resolved = resolve(step, wide)
        metrics = self.table.metric_rows.lazy()
        if step.stage.reads == "metrics":
            there = pl.repeat(False, self.table.rows.height, eager=True)
            there = there.scatter(fates.rollouts_of(rows.held), True)
            metrics = metrics.filter(looked_up(there, pl.col("row")))
        if step.makes == "metrics" != step.takes:
            self._entered[step.name] = fates.rollouts_of(rows.held)
        with blaming(step), naming_what_is_missing(self.plan, step, wide):
            frame, tables = call(step, params, wide, self._upstream(step), metrics)
            names = frame.collect_schema().names()
        # What a stage of a plugin makes of the rollouts' columns is not known.
        ours = is_ours(step.stage.function.__module__)
        holds = narrow(frame, rows, self.table.rows) if ours and step.source is not None else names
        reason = pl.col("reason").cast(pl.Categorical())
        held = frame.select(reason if name == "reason" else name for name in holds)
        # A filter looks at each row alone; in memory, the reasons it may give take 140 bytes a row.
        streams = isinstance(params, Filter) and rows.held.height >= LARGE_ROWS
        # Together, so that what the frame and its facts share is computed once.
        with blaming(step):
            made, *told = pl.collect_all(
                [held, *tables.values()], engine="streaming" if streams else "auto"
            )
        made = self._spill(made)
        check_rows(step, rows.held, made)
        check_columns(step, wide, made)
        facts: Told = {name: table.to_dicts() for name, table in zip(tables, told, strict=True)}
        if resolved:
            facts["resolved"] = resolved
        self.warnings += [f"{step.name}: {row['message']}" for row in facts.pop("warnings", [])]
        return params, made, tuple(name for name in names if name != "reason"), facts

    def rows(self, step: Step) -> StageResult:
        """What the step takes."""
        if step.source is not None:
            return self._results[step.source]
        return StageResult(self.table.rows, tuple(self.table.rows.columns))

    def _forget(self, place: int) -> None:
        """Drop the results that no later stage takes."""
        needed = {step.source for step in self.plan.steps[place + 1 :]}
        self._results = {name: rows for name, rows in self._results.items() if name in needed}

    def _upstream(self, step: Step) -> Told:
        """The facts of the stages above, the nearest one's table where two have a name."""
        facts: Told = {}
        for above in reversed(step.above):
            facts |= self._facts[above.name]
        return facts

    def _write(self, step: Step, params: Write, place: int, result: StageResult) -> WriteResult:
        several = sum(isinstance(other.params, Write) for other in self.plan.steps) > 1
        inside = f"data/{step.name}" if several else "data"
        by = grounds(step.above)
        rows = self._collected(result, _written(step, params, result, by))
        if step is self.plan.steps[-1]:
            self.table.rows = self.table.rows.select(fates.LINES)
        if step.takes == "metrics":
            entered = next(self._entered[up.name] for up in step.above if up.name in self._entered)
            written = write_metrics(rows, entered, self.staged, inside)
        else:
            self._progress.begin(f"writing {step.name}", rows.height, "rows")
            with blaming(step):
                written = write_data(
                    step,
                    rows,
                    self.plan.named,
                    self._templates.get(step.name),
                    self.files,
                    self.staged,
                    inside,
                    self._engine,
                    self._progress.advance,
                )
            self._progress.end()
            give_back()
            if purpose_of(step) == "rl":
                remarks.check_verifier(params, written)
            if several and not written.rows:  # where it is the only one, the run ends with that
                self.warnings.append(f"{step.name}: wrote no rows; the stages above it say why.")
            self.warnings += remarks.of_write(self.plan, step, params, rows, written)
            self.statistics[step.name] = statistics(written, by)
            self._check_again(step, rows, written.written)
        self.outputs += written.outputs
        uses = fates.no_uses().schema
        self._uses += [self._spill(use.select(list(uses)).cast(uses)) for use in written.used]
        self._fates += [self._spill(fates.refused(place, lost)) for lost in written.rejected]
        if written.example is not None:
            self.examples[step.name] = written.example
        return written

    def _collected(self, result: StageResult, names: list[str]) -> pl.DataFrame:
        """Columns of a result. Of many rows each is in memory alone, for those of a pair take 160
        bytes together.
        """
        wide = result.wide(self.table.rows)
        if result.held.height < LARGE_ROWS:
            return wide.select(names).collect()
        columns = [self._spill(wide.select(name).collect()) for name in names]
        return pl.concat(columns, how="horizontal")

    def _tell(self, judged: Iterable[tuple[str, str]]) -> None:
        """Warn, or stop the run in the end, as the level of each sentence says."""
        for level, said in judged:
            (self.stops if level == "stop" else self.warnings).append(said)

    def _check_again(self, step: Step, rows: pl.DataFrame, written: pl.DataFrame) -> None:
        """Make the checks that count rows again, without those of the rows that got lost here."""
        if written.height == rows.height:
            return
        by = [name for name in ROWS if name in rows.columns]
        lost = rows.select(by).join(written.select(by), on=by, how="anti")
        for above in step.above:
            if above.name not in self._checked or above.takes != step.takes:
                continue
            assert isinstance(above.params, Validate)
            left = self._checked[above.name].join(lost, on=by, how="anti")
            checks = self._facts[above.name]["checks"]
            self._tell(judged_again(step.name, above.params, checks, left))


_READ = ("row", "source", "offset", "bytes", "id_hi", "id_lo", "has_tools", "reward", "label")
"""What a write needs of each rollout, beside the columns that it writes and has figures of."""


def _written(step: Step, params: Write, rows: StageResult, by: Grounds) -> list[str]:
    """The columns that a write needs."""
    if step.takes == "metrics":
        return list(rows.names)
    needed = {*rows.held.columns, *PAIR_COLUMNS, *_READ, *CATEGORIES}
    figures = (*by.metrics, *by.groups, *FIGURES[step.takes].values())
    beside = columns_of(params, purpose_of(step))
    needed |= {split_side(name)[1] for name in (*figures, *beside)}
    return [
        name
        for name in rows.names
        if {name, split_side(name)[1]} & needed or name.startswith(INPUT)
    ]


def _counts(reasons: pl.Series) -> dict[str, int]:
    return dict(reasons.value_counts().iter_rows())
