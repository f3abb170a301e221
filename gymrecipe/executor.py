"""The executor: folds the stages, splits off the rejects, counts, and publishes the version."""

from __future__ import annotations

import hashlib
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl

from gymrecipe.engines.local import default_workers, local
from gymrecipe.errors import DataError, RecipeError, hint
from gymrecipe.experiments import card, fates, ledger, manifest, store
from gymrecipe.experiments.data import write_data, write_metrics
from gymrecipe.experiments.environment import environment
from gymrecipe.experiments.export import check_export, export
from gymrecipe.experiments.manifest import Input, Lines, Manifest, Output, StageRecord
from gymrecipe.experiments.statistics import statistics
from gymrecipe.plan import Plan
from gymrecipe.reads import QUANTILE
from gymrecipe.registry import CHECKS, FORMATS, Of, marked
from gymrecipe.rollouts.columns import parse_path
from gymrecipe.rollouts.figures import quantile
from gymrecipe.rollouts.files import Source, check_unchanged, sources
from gymrecipe.rollouts.table import Map, Table, Wanted, empty_rows, read_table
from gymrecipe.stages import where as language
from gymrecipe.stages.checks import Facts
from gymrecipe.stages.filter import Filter
from gymrecipe.stages.validate import Validate, result
from gymrecipe.stages.write import Write
from gymrecipe.steps import DEFAULT_PURPOSE, Step

NOT_IN_ID = {"input", "sidecars", "max_bad_rows"}
"""Parameters of load that say where rollouts are and what is tolerated, not which come out."""


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


@dataclass(frozen=True)
class Version:
    """What a run made: where it is (None for a dry run) and its manifest.

    `existed` says that an earlier version has the same id, so that nothing was written;
    `examples` holds one formatted example of each write.
    """

    path: Path | None
    manifest: Manifest
    existed: bool = False
    examples: dict[str, str] = field(default_factory=dict)


def run(plan: Plan, progress: Progress | None = None) -> Version:
    """Run a plan to a version.

    Raises the errors of `errors`; a DataError about what was found carries its `manifest`.
    """
    settings = plan.settings
    rehearse(plan)
    files, skipped = sources(plan.load.input, plan.load.sidecars)
    folder = Path(settings.output_dir) / settings.name
    if settings.tag is not None:
        store.check_tag(folder, settings.tag)
    if settings.output_jsonl_fpath is not None:
        check_export(Path(settings.output_jsonl_fpath), folder)
    with local(settings.engine.workers or default_workers()) as engine, ExitStack() as stack:
        table = read(plan, files, engine, progress or Silent())
        table.warnings += [f"{name}: a sidecar file, passed over." for name in skipped]
        id = version_id(plan, files, table)
        if not (settings.again or settings.dry_run) and (known := store.find(folder, id)):
            return _finish(plan, folder, Version(known, manifest.read(known), existed=True))
        if settings.dry_run:
            staged = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = store.recipe_folder(Path(settings.output_dir), settings.name)
            staged = stack.enter_context(store.staging(folder))
        fold = Fold(plan, table, files, staged, engine, progress or Silent())
        record = _record(fold, id)
        _check_usable(fold, record)
        for file in files:
            check_unchanged(file)
        if settings.dry_run:
            return Version(None, record, examples=fold.examples)
        version = _publish(folder, staged, record, settings.tag)
        return _finish(plan, folder, version)


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
            frame, tables = _call(step, params, rows, facts, _NO_METRICS)
            frames[step.name] = frame.collect().drop("reason", strict=False).lazy()
            for table in tables.values():
                table.collect()
        except pl.exceptions.ColumnNotFoundError as error:
            names = rows.collect_schema().names()
            quoted = re.search(r'"([^"]+)"', str(error))
            missing = quoted[1] if quoted else str(error).splitlines()[0]
            raise RecipeError(
                f"{plan.recipe_path}: stages.{step.name}: needs the column '{missing}', which"
                f" {step.takes or 'rollouts'} do not have. They have {', '.join(names)}.{hint(missing, names)}"
            ) from None


def version_id(plan: Plan, files: list[Source], table: Table) -> str:
    """A hash of what decides the bytes of a version.

    That is the stages with their parameters and versions, the formats' versions, and the inputs'
    digests in order; not paths, folders, the name, the engine or how output looks.
    """
    formats = {
        step.params.format: FORMATS[step.params.format].version
        for step in plan.steps
        if isinstance(step.params, Write)
    }
    stages = [
        {
            "name": step.name,
            "use": step.stage.name,
            "version": step.stage.version,
            "source": step.source,
            "parameters": {
                name: value
                for name, value in step.params.model_dump(mode="json").items()
                if name not in NOT_IN_ID
            },
        }
        for step in plan.steps
    ]
    inputs = [[file.run, read.digest] for file, read in zip(files, table.read, strict=True)]
    named = {name: column.model_dump() for name, column in plan.named.items()}
    decided = [stages, formats, inputs, named]
    return hashlib.sha256(msgspec.json.encode(decided, order="deterministic")).hexdigest()


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

    def _step(self, step: Step, place: int) -> None:
        rows = self.table.rows if step.source is None else self.results[step.source]
        params, resolved = _resolve(step, rows)
        metrics = _NO_METRICS
        if step.stage.reads == "metrics":
            metrics = self.table.metric_rows.join(rows, on="row", how="semi").lazy()
            self.entered[step.name] = rows["row"]
        frame, tables = _call(step, params, rows.lazy(), self._upstream(step), metrics)
        made = frame.collect()
        facts: Facts = {name: table.collect().to_dicts() for name, table in tables.items()}
        if resolved:
            facts["resolved"] = resolved
        self.warnings += [f"{step.name}: {row['message']}" for row in facts.pop("warnings", [])]
        self.facts[step.name] = facts
        if "reason" not in made.columns:
            made = made.with_columns(reason=pl.lit(None, pl.String))
        left = made.filter(pl.col("reason").is_not_null())
        kept = made.filter(pl.col("reason").is_null()).drop("reason")
        self.fates.append(fates.leaving(left, place))
        rejected = _counts(left["reason"])
        rows_in, rows_out = rows.height, kept.height
        if step.source is None:
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
                params.purpose or DEFAULT_PURPOSE[step.takes],
                self.files,
                self.staged,
                inside,
                self.engine,
                self.plan.crosses_prompts(step),
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
        reasons = {"below_min_reward", "no_success", "below_min_success_rate"}
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


def _record(fold: Fold, id: str) -> Manifest:
    """The manifest of what was staged, and the files that go with the data."""
    plan, table = fold.plan, fold.table
    rejected = fates.write_records(
        fold.staged,
        table.rows,
        table.bad,
        fold.settled,
        fold.used,
        [step.name for step in plan.steps],
        [file.name for file in fold.files],
    )
    lines = Lines(
        read=sum(read.lines for read in table.read),
        used=fold.used["row"].n_unique(),
        rejected=rejected,
    )
    assert lines.read == lines.used + lines.rejected, f"lines do not add up: {lines}"
    record = Manifest(
        schema=manifest.SCHEMA,
        name=plan.settings.name,
        version="",
        id=id,
        parameters=plan.parameters,
        stages=fold.records,
        lines=lines,
        inputs=[
            Input(file.name, file.run, read.bytes, read.lines, read.digest)
            for file, read in zip(fold.files, table.read, strict=True)
        ],
        outputs=fold.outputs,
        statistics={**fold.statistics, "metrics": table.metrics},
        warnings=fold.warnings,
        environment=environment(plan.command, plan.overrides, plan.recipe_folder),
    )
    texts = {"README.md": card.card(record), "recipe.yaml": plan.recipe_yaml}
    with store.writing(fold.staged):
        for name, text in texts.items():
            (fold.staged / name).write_text(text, encoding="utf-8")
        beside = [_output(fold.staged, name) for name in (*texts, fates.REJECTS, fates.USED)]
    return msgspec.structs.replace(record, outputs=[*fold.outputs, *beside])


def _output(folder: Path, name: str) -> Output:
    data = (folder / name).read_bytes()
    return Output(name, 0, len(data), hashlib.sha256(data).hexdigest())


def _check_usable(fold: Fold, record: Manifest) -> None:
    """Raise DataError where there is nothing to publish, or a check says stop."""
    problem = ""
    if not fold.table.rows.height:
        reasons = ", ".join(f"{n} {reason}" for reason, n in record.stages[0].rejected.items())
        names = ", ".join(file.name for file in fold.files)
        problem = (
            f"{names}: no rollouts: {record.lines.read} lines read"
            + (f" ({reasons})" if reasons else "")
            + ". Is this a rollout file of NeMo Gym?"
        )
    elif not any(output.rows for output in fold.outputs):
        where = next(stage for stage in record.stages if not stage.rows_out)
        reasons = ", ".join(f"{n} {reason}" for reason, n in where.rejected.items())
        problem = (
            f"nothing to write: stage '{where.name}' let none of {where.rows_in}"
            f" {where.takes} through ({reasons}). {_advice(where)}"
        )
    elif fold.stops:
        problem = "\n".join(fold.stops)
    if problem:
        raise DataError(problem, record)


ADVICE = {
    "only_one": "Collect several rollouts a prompt (num_repeats), or say what a task is: group_by.",
    "all_equal": "Collect at a higher temperature, or rank by a graded metric: stages.pair.by.",
    "missing_reward": "Say where the score is: reward=PATH (`gymrecipe columns` lists the fields).",
}


def _advice(stage: StageRecord) -> str:
    """What to do about the reason that took the most away."""
    most = max(stage.rejected, key=lambda reason: stage.rejected[reason], default="")
    return ADVICE.get(most, f"Change what stage '{stage.name}' asks for, or collect more rollouts.")


def _publish(folder: Path, staged: Path, record: Manifest, tag: str | None) -> Version:
    def manifest_for(name: str) -> bytes:
        return manifest.encode(msgspec.structs.replace(record, version=name))

    path = store.publish(staged, folder, manifest_for)
    data = (path / manifest.FILE).read_bytes()
    published = msgspec.structs.replace(record, version=path.name)
    ledger.append(folder, ledger.entry(published, hashlib.sha256(data).hexdigest(), tag))
    return Version(path, published)


def _finish(plan: Plan, folder: Path, version: Version) -> Version:
    """What is asked for beside the version: a tag, a copy of its data."""
    assert version.path is not None
    if plan.settings.tag is not None:
        store.tag(folder, version.path, plan.settings.tag)
    if plan.settings.output_jsonl_fpath is not None:
        export(version.path, version.manifest, Path(plan.settings.output_jsonl_fpath))
    return version
