"""Usable: whether there is something to publish, and what to do where there is not."""

from __future__ import annotations

from gymrecipe.errors import DataError
from gymrecipe.experiments.guides import purpose_of
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.registry import FORMATS
from gymrecipe.rollouts.chat import CHANGED_BY, NO_SETTING

SCORE = "Say where the score is: reward=PATH (`gymrecipe columns` lists the fields)."

ADVICE = {
    "only_one": "Collect several rollouts a prompt (num_repeats), or say what a task is: group_by.",
    "all_equal": "Collect at a higher temperature, or rank by a graded metric: stages.pair.by.",
    "over_quota": "Each group that proportions names needs rows: the red flag says which has none.",
    "no_request": "NeMo RL asks the requests of NeMo Gym again, and these lines have none: other"
    " formats take prompts as messages (format=trl, verl).",
    "missing_reward": SCORE,
    "missing_success_rate": SCORE,
}
"""What to do where a reason took the most away."""

APART = (
    "Each input is a run, with tasks of its own; prompts that are in several: {}. For pairs between"
    " inputs name the files by one glob, or say what a task is: group_by=PATH."
)
"""What to do instead where prompts of several inputs are tasks of their own."""

NO_FIGURES = (
    "none of {} rollouts has a number or a boolean at the top of its line, and"
    " figures are of those. `gymrecipe columns` lists the fields."
)
"""What is said of rollouts that `aggregate` makes no figures of."""

SPLIT = (
    "One of task_fields tells several tasks apart in {} of the prompts. Where that is a name of the"
    " rollout, such as an id of its own, and not of its task, leave it out of the list;"
    " task_fields=[] goes by the prompt alone."
)


def check_usable(record: Manifest, stops: list[str]) -> None:
    """Raise DataError where there is nothing to publish, or a check says stop."""
    problems = stops
    if not any(output.rows for output in record.outputs):
        where = next(stage for stage in record.stages if not stage.rows_out)
        problems = [f"nothing to write: {_nothing(where, record)}"]
    if problems:
        raise DataError(*problems, manifest=record)


def _nothing(stage: StageRecord, record: Manifest) -> str:
    """Why a stage gave nothing, and what to do about it."""
    if stage.use == "aggregate":
        return NO_FIGURES.format(stage.rows_in)
    reasons = ", ".join(f"{n} {reason}" for reason, n in stage.rejected.items())
    said = f"stage '{stage.name}' let none of {stage.rows_in} {stage.takes} through ({reasons})."
    return f"{said}{_cause(stage)} {_advice(stage, record)}"


def _cause(stage: StageRecord) -> str:
    """The most frequent cause of a stage's rejects, where it has any."""
    for row in stage.facts.get("causes", []):
        return f" {row['rows']} {row['reason']}: {row['cause'].rstrip('.')}."
    return ""


def _is_final(stage: StageRecord, reason: str) -> bool:
    """Whether all that have this reason have a cause that no setting changes."""
    told = [row for row in stage.facts.get("causes", []) if row["reason"] == reason]
    final = sum(row["rows"] for row in told if row["cause"].endswith(NO_SETTING))
    return bool(final == stage.rejected[reason])


def _grouping(record: Manifest, figure: str) -> int:
    (figures,) = record.stages[0].facts["grouping"]
    return int(figures.get(figure, 0))


def _setting(write: StageRecord, reason: str) -> str:
    """Which setting of a write lets through what it rejects for a reason."""
    name, _, values = CHANGED_BY[reason].partition("=")
    others, chosen = values.split(" or "), write.parameters.get(name)
    if name == "format":
        others = [other for other in others if purpose_of(write) in FORMATS[other].purposes]
    if chosen in others:
        others = others[others.index(chosen) + 1 :]
    elif chosen is not None and values in ("PATH", "NAME"):
        others = []
    if not others:
        return f"{name}={chosen} is set already, and nothing else lets them through."
    them = "them" if len(write.rejected) == 1 else f"the {write.rejected[reason]} {reason}"
    through = f"{name}={' or '.join(others)} may let {them} through"
    format = write.parameters["format"]
    if name == "pairs_at" and values not in FORMATS[format].pairs_at:
        return f"{through}, with another format than {format}."
    return f"{through}."


def _advice(stage: StageRecord, record: Manifest) -> str:
    """What to do about the reason that took the most away."""
    knobs = record.parameters
    most = max(stage.rejected, key=lambda reason: stage.rejected[reason], default="")
    if most == "only_one" and knobs.get("limit") is not None:
        return f"limit={knobs['limit']} may cut tasks apart: limit_tasks keeps them whole."
    if stage.use == "pair" and (apart := _grouping(record, "prompts_in_several_runs")):
        return APART.format(apart)
    if most == "only_one" and (split := _grouping(record, "prompts_of_several_tasks")):
        return SPLIT.format(split)
    if stage.use == "write" and most in CHANGED_BY and not _is_final(stage, most):
        return _setting(stage, most)
    if most in ADVICE:
        return ADVICE[most]
    if stage.use == "write":
        return "No setting of a write lets them through: such rollouts have no right form there."
    return f"Change what stage '{stage.name}' asks for, or collect more rollouts."
