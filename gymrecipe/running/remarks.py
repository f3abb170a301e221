"""Remarks: what is said of what a stage took away or wrote, where nobody may have meant it."""

from __future__ import annotations

from collections.abc import Iterator

from gymrecipe.errors import RecipeError, hint
from gymrecipe.experiments.manifest import StageRecord
from gymrecipe.experiments.recorded import in_force
from gymrecipe.experiments.written import WriteResult
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import QUANTILE, Of, ReadsWhere, marked
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.steps import Step
from gymrecipe.rollouts.columns import INPUT, SPLIT, key_of, split_side
from gymrecipe.stages import where as language
from gymrecipe.stages.filter import Filter
from gymrecipe.stages.write import Write

MOST_LISTED, MOST_GUESSED, LONGEST = 10, 100, 60
"""So many texts of a column are told where one is on no line, and so many letters of each. Where
there are more than the second, they are names of tasks or the like, near each other anyway."""

REFUSED = "an answer that the model's API marked as a refusal; refusals=reject leaves them out."
JOINED = (
    "an answer that is several messages in a row. Where each was a model call of its own, as of"
    " agents that leave out what was asked between them (langgraph, osworld), nobody said it so."
)
REQUESTED = (
    "answers in their request, on which a trainer trains as on the model's own."
    " format=trl_prompt_completion or rendered have them in the prompt, which is not trained on."
)
LATE = (
    " leaves rows with other keys or types behind the first {}; a loader that infers the columns"
    " from the first 10 MB, as datasets does, may fail on them or fill nulls in."
)


def of_filter(plan: Plan, step: Step, params: Filter, rejected: dict[str, int]) -> Iterator[str]:
    """A filter by reward or success before a pair takes away what pairs are made of."""
    pairs = [other for other in plan.steps if other.stage.name == "pair"]
    if step.takes != "rollouts" or not any(step in pair.above for pair in pairs):
        return
    reasons = {"below_min_reward", "no_success", "missing_success", "below_min_success_rate"}
    names = set(language.parse(params.where).names) if params.where is not None else set()
    if names & {"reward", "success"}:
        reasons.add("where")
    lost = sum(count for reason, count in rejected.items() if reason in reasons)
    if lost:
        yield (
            f"{step.name}: filters by reward or success before pairs are made, and takes away"
            f" {lost} rollouts that could be the rejected side. Filter pairs, after the pair."
        )


def of_scale(plan: Plan, step: Step, stage: StageRecord, rollouts: pl.DataFrame) -> Iterator[str]:
    """Thresholds that a recipe has for a metric from 0 to 1, where most values are above that."""
    knobs: dict[str, list[str]] = {}
    for name, value, mark in marked(step.params, Of):
        knob = plan.unasked.get(f"stages.{stage.name}.{name}")
        metric = mark.column or getattr(step.params, mark.parameter)
        if knob and isinstance(value, float) and 0 < value < 1 and in_force(stage, name):
            knobs.setdefault(metric, []).append(f"{knob}={value:g}")
    for metric, said in knobs.items() if step.takes == "rollouts" else ():
        if metric not in rollouts.columns:  # a plugin made it
            continue
        above, highest = rollouts.select((pl.col(metric) > 1).mean(), highest=pl.max(metric)).row(0)
        if above is not None and above >= 0.5:
            yield (
                f"{stage.name}: {', '.join(said)} is for values from 0 to 1, but half of those of"
                f" '{metric}' are above 1, up to {highest:g}. Give one on their scale."
            )


def of_texts(step: Step, rollouts: pl.DataFrame) -> Iterator[str]:
    """A text that an expression names and no line has: one that is near a text of the lines, and
    any where none of those that are asked for together is there.
    """
    for at, value, _ in marked(step.params, ReadsWhere):
        if not isinstance(value, str) or QUANTILE.fullmatch(value):
            continue
        for named in language.texts(value):
            name = split_side(named.column)[1] if step.takes == "pairs" else named.column
            if name not in rollouts.columns:
                continue
            there = set(rollouts[name].drop_nulls().unique().cast(pl.String))
            absent = [text for text in named.texts if text not in there]
            if not there or not absent:
                continue
            others = there.difference(named.texts) if len(there) <= MOST_GUESSED else ()
            guesses = {text: guess for text in absent if (guess := hint(text, sorted(others)))}
            vain = named.asked and len(absent) == len(named.texts)
            if told := absent if vain else [*guesses]:
                names = _listed(told, "'")
                yield (
                    f"stages.{step.name}.{at}: no line that was read has {names} as"
                    f" {named.column}; there are {_listed(sorted(there))}."
                    f"{next(iter(guesses.values()), '')}"
                )


def _listed(texts: list[str], quote: str = "") -> str:
    shown = [text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for text in texts[:MOST_LISTED]]
    more = len(texts) - len(shown)
    return ", ".join(f"{quote}{text}{quote}" for text in shown) + (
        f" and {more} more" if more else ""
    )


def of_write(plan: Plan, step: Step, rows: pl.DataFrame, written: WriteResult) -> Iterator[str]:
    """What is said of the rows that a write was given, and of what it made of them."""
    params = step.write
    if step.purpose == "rl":
        yield from _missing_inputs(step, rows)
        yield from _nothing_to_verify(plan, step, written)
    if params.validation_fraction and written.rows:
        yield from _one_sided(step, written)
    contents = written.contents
    having = {REFUSED: contents.refused, JOINED: contents.joined, REQUESTED: contents.requested}
    for what, count in having.items():
        if count:
            yield f"{step.name}: {count} of {written.rows} rows have {what}"
    if params.written_as == "jsonl":
        for name in sorted(written.contents.dates):
            yield (
                f"{step.name}: every '{name}' is a date, and `datasets`, by which most trainers"
                " read, makes timestamps of such a column. Leave it out, or write it otherwise."
            )
        for name in sorted(written.rounded):
            yield (
                f"{step.name}: '{name}' has fractions, and integers beyond 2^53, which `datasets`"
                " reads rounded or not at all then. Leave it out, or write file=parquet, in which"
                " it is text."
            )
        for name in written.apart:
            yield (
                f"{step.name}: '{name}' has other keys or types in the validation rows than in"
                " those of train; `datasets`, given both files at once, fails, or makes the former"
                " what the latter are. Load each by itself."
            )
    if written.is_late:
        knob, first = "order=strict", "ones"
        if params.order != "strict":
            knob, first = f"shard_rows={params.shard_rows}", "file"
        yield f"{step.name}: {knob}{LATE.format(first)}"


def _one_sided(step: Step, written: WriteResult) -> Iterator[str]:
    """That nothing was held out, or everything."""
    splits = written.written[SPLIT].unique().to_list()
    if len(splits) == 1:
        share, do = ("all", "Lower") if splits == ["validation"] else ("none", "Raise")
        yield (
            f"{step.name}: validation_fraction={step.write.validation_fraction:g} holds out"
            f" {share} of {written.rows} rows, for each prompt is drawn by itself. {do} it,"
            " or draw with another seed."
        )


def _missing_inputs(step: Step, rows: pl.DataFrame) -> Iterator[str]:
    """A task without an input row has another verifier's fields than the others."""
    place = f"{INPUT}source"
    missing = rows[place].null_count() if place in rows.columns else 0
    if missing:
        yield (
            f"{step.name}: {missing} of {rows.height} tasks have no row in materialized_inputs;"
            " what their verifier needs is taken from a rollout. Is the file of this run?"
        )


def _nothing_to_verify(plan: Plan, step: Step, written: WriteResult) -> Iterator[str]:
    """Without a field that says what is right, a reward function can only guess."""
    params, count = step.write, written.contents.unverifiable
    written_there = params.format != "custom" or "verifier" in params.columns
    if not count or not written_there or params.format == "raw":  # whole lines have it all
        return
    if params.verifier_fields is not None:
        said = "none of verifier_fields is on their lines"
    elif plan.load.materialized_inputs is not None:
        said = "their input rows have no field beside the request; name some: verifier_fields"
    else:
        said = (
            "their lines have no field such as expected_answer. Name the file that the run was"
            " started from, materialized_inputs=FILE, or the fields, verifier_fields=[NAME]"
        )
    yield (
        f"{step.name}: {count} of {written.rows} rows have nothing to verify an answer by: {said}."
    )


def check_verifier(params: Write, written: WriteResult) -> None:
    """Raise RecipeError for fields of the verifier that no row has: they are misspelt, or null."""
    if params.verifier_fields is None or not written.rows:
        return
    contents, problems = written.contents, []
    for name in params.verifier_fields:
        if key_of(name) in contents.verifier:
            continue
        said = "on no line of the tasks that are written. `gymrecipe columns` lists the fields."
        if key_of(name) in contents.verifier_nulls:
            said = "null wherever it is on the lines of the tasks that are written. Leave it out."
        problems.append(f"verifier_fields: '{name}' is {said}")
    if problems:
        raise RecipeError(*problems)
