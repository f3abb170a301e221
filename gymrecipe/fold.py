"""The fold: the stages over the table, one after the other, with every reject counted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from gymrecipe.beside import paths_written
from gymrecipe.errors import DataError, RecipeError, hint
from gymrecipe.experiments import fates
from gymrecipe.experiments.data import write_data, write_metrics
from gymrecipe.experiments.manifest import Output, StageRecord
from gymrecipe.experiments.statistics import statistics
from gymrecipe.plan import Plan
from gymrecipe.reads import QUANTILE
from gymrecipe.registry import CHECKS, Of, marked
from gymrecipe.rollouts.columns import parse_path
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.figures import quantile
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.table import Table, Wanted, empty_rows, read_table
from gymrecipe.stages import where as language
from gymrecipe.stages.checks import Facts
from gymrecipe.stages.filter import Filter
from gymrecipe.stages.validate import Validate, result
from gymrecipe.stages.write import Write
from gymrecipe.steps import Step, purpose_of


class Progress(Protocol):
    """Is told how far a run is: a phase begins, goes on by bytes or rows, and ends."""

    def begin(self, phase: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def end(self) -> None: ...


class Silent:
    """Progress that nobody watches."""

    def begin(self, phase: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def end(self) -> None: ...


def read(plan: Plan, files: list[Source], engine: Map, progress: Progress) -> Table:
    """The rollout table of the plan's inputs."""
    progress.begin("reading", sum(file.size for file in files), "bytes")
    table = read_table(files, wanted(plan), engine, progress.advance)
    progress.end()
    return table


def wanted(plan: Plan) -> Wanted:
    """What the plan asks of the scan."""
    load = plan.load
    by_path = load.group_by not in ("auto", "consecutive")
    return Wanted(
        columns=plan.columns,
        present=tuple(dict.fromkeys(paths_written(plan.steps, plan.named))),
        reward=parse_path(load.reward),
        task_fields=tuple(parse_path(name) for name in load.task_fields),
        group_by=parse_path(load.group_by) if by_path else None,
        metric_rows=any(step.stage.reads == "metrics" for step in plan.steps),
        limit=load.limit,
        max_bad_rows=load.max_bad_rows,
    )


def rehearse(plan: Plan) -> None:
    """Run the stages on empty tables, so that a missing column is found before a byte is read."""
    frames: dict[str, pl.LazyFrame] = {}
    facts: Facts = {}
    for step in plan.steps:
        rows = (
            empty_rows(wanted(plan)).with_row_index("row").lazy()
            if step.source is None
            else frames[step.source]
        )
        params = step.params.model_copy(update=dict.fromkeys(_quantiles(step), 0.0))
        try:
            frame, _ = _call(step, params, rows, facts, _NO_METRICS)
            schema = dict(frame.collect_schema())
            schema.pop("reason", None)
            frames[step.name] = pl.LazyFrame(schema=schema)
        except pl.exceptions.ColumnNotFoundError as error:
            names = rows.collect_schema().names()
            takes = step.takes or "rollouts"
            quoted = re.search(r'"([^"]+)"', str(error))
            missing = quoted[1] if quoted else str(error).splitlines()[0]
            raise RecipeError(
                f"{plan.recipe_path}: stages.{step.name}: needs the column '{missing}', which"
                f" {takes} do not have. They have {', '.join(names)}.{hint(missing, names)}"
            ) from None


class Fold:
    """The stages folded over the table: results, the fates of rollouts, records, warnings."""

    def __init__(
        self,
        plan: Plan,
        table: Table,
        files: list[Source],
        staged: Path,
        engine: Map,
        progress: Progress,
    ) -> None:
        self.plan, self.table, self.files = plan, table, files
        self.staged, self.engine, self.progress = staged, engine, progress
        self.results: dict[str, pl.DataFrame] = {}
        self.entered: dict[str, pl.Series] = {}
        self.fates: list[pl.DataFrame] = []
        self.uses: list[pl.DataFrame] = []
        self.records: list[StageRecord] = []
        self.facts: dict[str, Facts] = {}
        self.outputs: list[Output] = []
        self.statistics: dict[str, Any] = {}
        self.warnings = list(table.warnings)
        self.stops: list[str] = []
        self.examples: dict[str, str] = {}
        for place, step in enumerate(plan.steps):
            self._step(step, place)
        self.used = pl.concat([pl.DataFrame(schema=fates.USE), *self.uses])
        self.settled = fates.settle(self.fates, self.used)

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

    def _step(self, step: Step, place: int) -> None:
        rows = self.table.rows if step.source is None else self.results[step.source]
        params, resolved = _resolve(step, rows)
        metrics = _NO_METRICS
        if step.stage.reads == "metrics":
            metrics = self.table.metric_rows.join(rows, on="row", how="semi").lazy()
            self.entered[step.name] = rows["row"]
        frame, tables = _call(step, params, rows.lazy(), self._upstream(step), metrics)
        # Together, so that what the frame and its facts share is computed once.
        made, *told = pl.collect_all([frame, *tables.values()])
        facts: Facts = {name: table.to_dicts() for name, table in zip(tables, told, strict=True)}
        if resolved:
            facts["resolved"] = resolved
        self.warnings += [f"{step.name}: {row['message']}" for row in facts.pop("warnings", [])]
        self.facts[step.name] = facts
        if "reason" not in made.columns:
            made = made.with_columns(reason=pl.lit(None, pl.String))
        left = made.filter(pl.col("reason").is_not_null())
        # A filter copies every column, and most stages keep every row.
        kept = made.filter(pl.col("reason").is_null()) if left.height else made
        kept = kept.drop("reason")
        del made
        self.fates.append(fates.leaving(left, place))
        rejected = _counts(left["reason"])
        rows_in, rows_out = rows.height, kept.height
        if step.source is None:
            # From here on the table is only where the lines lie; the rows are the stage's.
            self.table.rows = self.table.rows.select(fates.LINES)
            rejected |= _counts(self.table.bad["reason"])
            rows_in += self.table.bad.height
        if isinstance(params, Write):
            rows_out, more = self._write(step, params, place, kept)
            rejected |= more
        else:
            self.results[step.name] = kept
        if isinstance(params, Validate):
            self._judge(step, facts["checks"])
        if isinstance(params, Filter):
            self._warn_of_lost_losers(step, params, left)
        self.records.append(
            StageRecord(
                name=step.name,
                use=step.stage.name,
                version=step.stage.version,
                takes=step.takes,
                makes=step.makes,
                source=step.source or "",
                parameters=step.params.model_dump(mode="json"),
                rows_in=rows_in,
                rows_out=rows_out,
                rejected=dict(sorted(rejected.items())),
                facts=facts,
            )
        )
        self._forget(place)

    def _forget(self, place: int) -> None:
        """Drop the results that no later stage takes."""
        needed = {step.source for step in self.plan.steps[place + 1 :]}
        self.results = {name: rows for name, rows in self.results.items() if name in needed}

    def _upstream(self, step: Step) -> Facts:
        """The facts of the stages above, the nearest one's table where two have a name."""
        facts: Facts = {}
        for above in reversed(self.plan.above(step)):
            facts |= self.facts[above.name]
        return facts

    def _write(
        self, step: Step, params: Write, place: int, rows: pl.DataFrame
    ) -> tuple[int, dict[str, int]]:
        several = sum(isinstance(other.params, Write) for other in self.plan.steps) > 1
        inside = f"data/{step.name}" if several else "data"
        if step.takes == "metrics":
            written = write_metrics(rows, self.entered[step.source or ""], self.staged, inside)
        else:
            self.progress.begin(f"writing {step.name}", rows.height, "rows")
            written = write_data(
                rows,
                params,
                purpose_of(step),
                self.files,
                self.staged,
                inside,
                self.engine,
                self.plan.crosses_prompts(step),
                self.plan.named,
                self.progress.advance,
            )
            self.progress.end()
            self.statistics[step.name] = statistics(written)
            self._check_again(step, written.rows)
        self.outputs += written.outputs
        self.uses += written.used
        self.fates.append(
            pl.DataFrame(
                [(row, place, reason) for row, reason in written.rejected],
                schema=fates.FATE,
                orient="row",
            )
        )
        if written.example is not None:
            self.examples[step.name] = written.example
        return written.rows, _counts(pl.Series(written.reasons, dtype=pl.String))

    def _judge(self, step: Step, checks: list[dict[str, Any]]) -> None:
        for row in checks:
            if row["ok"]:
                continue
            low = row["min"] is not None and row["figure"] < row["min"]
            limit = f"at least {row['min']:g}" if low else f"at most {row['max']:g}"
            said = (
                f"{step.name}: {row['check']} is {row['figure']:.4g}, should be {limit}."
                f" {CHECKS[row['check']].advice}"
            )
            (self.stops if row["level"] == "stop" else self.warnings).append(said)

    def _check_again(self, step: Step, rows: int) -> None:
        """Make the checks on row counts again on what was written."""
        for above in self.plan.above(step):
            limits = above.params.limits() if isinstance(above.params, Validate) else {}
            before = self.facts[above.name].get("checks", [])
            passed = any(row["check"] == "rows" and row["ok"] for row in before)
            if "rows" in limits and passed:
                self._judge(step, [result("rows", rows, limits["rows"])])

    def _warn_of_lost_losers(self, step: Step, params: Filter, left: pl.DataFrame) -> None:
        """A filter by reward or success before a pair takes away what pairs are made of."""
        pairs = [other for other in self.plan.steps if other.stage.name == "pair"]
        if step.takes != "rollouts" or not any(step in self.plan.above(other) for other in pairs):
            return
        reasons = {"below_min_reward", "no_success", "missing_success", "below_min_success_rate"}
        names = set(language.parse(params.where).names) if params.where is not None else set()
        if names & {"reward", "success"}:
            reasons.add("where")
        lost = left["reason"].is_in(sorted(reasons)).sum()
        if lost:
            self.warnings.append(
                f"{step.name}: filters by reward or success before pairs are made, and takes away"
                f" {lost} rollouts that could be the rejected side. Filter pairs, after the pair."
            )


_NO_METRICS = pl.LazyFrame(schema={"row": pl.UInt32, "metric": pl.String, "value": pl.Float64})


def _call(
    step: Step, params: Any, rows: pl.LazyFrame, facts: Facts, metrics: pl.LazyFrame
) -> tuple[pl.LazyFrame, dict[str, pl.LazyFrame]]:
    frame = metrics if step.stage.reads == "metrics" else rows
    more = (facts,) if step.stage.reads == "facts" else ()
    made = step.stage.function(frame, params, *more)
    return made if isinstance(made, tuple) else (made, {})


def _quantiles(step: Step) -> dict[str, tuple[str, str]]:
    """The parameters given as quantiles: their text, and the column that resolves them."""
    return {
        name: (value, mark.column or getattr(step.params, mark.parameter))
        for name, value, mark in marked(step.params, Of)
        if isinstance(value, str) and QUANTILE.fullmatch(value)
    }


def _resolve(step: Step, rows: pl.DataFrame) -> tuple[Any, list[dict[str, Any]]]:
    """The parameters with their quantiles as numbers, and what became what."""
    said = []
    for name, (text, column) in _quantiles(step).items():
        value = quantile(rows[column], float(text[1:]))
        if value is None:
            raise DataError(f"stages.{step.name}.{name}: {text} of '{column}': no row has a value.")
        said.append({"parameter": name, "asked": text, "resolved": value})
    numbers = {str(row["parameter"]): row["resolved"] for row in said}
    return step.params.model_copy(update=numbers), said


def _counts(reasons: pl.Series) -> dict[str, int]:
    return dict(reasons.value_counts().iter_rows())
