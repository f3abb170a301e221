"""Validate: hold the figures of the rows against limits; change nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import field_validator, model_validator

from gymrecipe.errors import RecipeError, hint
from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import TOLERANCE, Params, Quantile, Reads, as_number
from gymrecipe.registry import CHECKS, Facts, Purpose, is_ours, stage, unit_of
from gymrecipe.rollouts.columns import of_pair
from gymrecipe.stages.checks import READ, Told


class Limits(Params):
    """Between what a check's figure has to lie, and what happens where it does not. With neither
    `min` nor `max` it has those of the purpose.
    """

    min: float | None = None
    """The least figure allowed."""
    max: float | None = None
    """The largest figure allowed."""
    level: Literal["warn", "stop"] = "warn"
    """`warn` tells; `stop` ends the run without a version."""
    at: float | Quantile | None = None
    """The value that the check counts or judges by. A quantile, such as the threshold of a filter,
    is for the checks in BY_THRESHOLD, which then judge as without it."""

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no figure is at least {self.min:g} and at most {self.max:g}")
        return self


BY_THRESHOLD = ("mean_reward", "under_threshold")
"""The checks whose `at` is the threshold that the rows were kept by."""

LIMITS: dict[str, dict[str, Limits]] = {
    "sft": {"rows": Limits(min=100), "distinct_rewards": Limits(min=2)},
    "dpo": {
        "mean_gap": Limits(min=0.2),
        "small_gaps": Limits(max=0.1),
        "wide_gaps": Limits(max=0.95),
    },
    "kto": {
        "rows": Limits(min=100),
        "labels": Limits(min=2),
        # TRL's page on its KTO trainer, "Imbalanced data"; the paper (2402.01306) allows 3:2.
        "label_ratio": Limits(min=1, max=4 / 3),
    },
    "reward_model": {
        "mean_gap": Limits(min=0.2),
        "small_gaps": Limits(max=0.1),
        # That reward models learn length from such data is known (2310.03716); 0.7 is ours.
        "longer_chosen": Limits(max=0.7),
    },
    "rl": {
        "mean_success": Limits(min=0.3, max=0.7),
        # What Olmo 3 samples, and NeMo Gym asks for before it filters by rate: with 4 rollouts
        # two of three tasks that are solved one time in ten look unsolved, with 8 four of ten.
        "rollouts_per_task": Limits(min=8),
        # DAPO, slime and NeMo RL drop every such group as it comes; 0.1 is ours.
        "flat_tasks": Limits(max=0.1),
    },
    "buffer": {
        "std_reward": Limits(min=0.1),
        "extreme_rewards": Limits(max=0.9),
        "middle_rewards": Limits(max=0.6),
        "populated_bins": Limits(min=3),
        "outside_rewards": Limits(max=0.1),  # ours
    },
}
"""The red flags by what the data is for: those of NeMo Gym's data guides where no other source is
named.
"""


class Validate(Params):
    """Which checks are made, and their limits."""

    use: Literal["validate"] = "validate"
    purpose: Purpose | None = None
    """Start from the checks for this purpose; `buffer` are scored trajectories, as for PPO."""
    checks: dict[str, Limits | None] = {}
    """Further checks, or other limits, by the check's name; null leaves one out."""
    category: Annotated[str | None, Reads("category")] = None
    """A column: warn where its largest category has more than 60% of the rows."""

    @field_validator("checks")
    @classmethod
    def _known(cls, value: dict[str, Limits | None]) -> dict[str, Limits | None]:
        for name in value:
            if name not in CHECKS:
                raise ValueError(
                    f"no check is named '{name}'; there are {', '.join(sorted(CHECKS))}."
                    + hint(name, CHECKS)
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Validate:
        usual = self._usual()
        for name, limits in self.checks.items():
            if limits is not None and not _limits(limits) and name not in usual:
                raise ValueError(f"checks.{name} needs min or max: it has none of its own")
            if limits is not None and isinstance(limits.at, str) and name not in BY_THRESHOLD:
                raise ValueError(
                    f"checks.{name}.at should be a number, got {limits.at!r}; a quantile is for"
                    f" {' and '.join(BY_THRESHOLD)}"
                )
        if self.checks.get("largest_category") is not None and self.category is None:
            raise ValueError("largest_category needs a category: the column to judge")
        return self

    def limits(self) -> dict[str, Limits]:
        """Every check that is made, with its limits."""
        usual = self._usual()
        chosen: dict[str, Limits | None] = {**usual}
        for name, limits in self.checks.items():
            if limits is not None and not _limits(limits):
                own = usual[name]
                limits = limits.model_copy(update={"min": own.min, "max": own.max})
            chosen[name] = limits
        return {name: limits for name, limits in chosen.items() if limits is not None}

    def _usual(self) -> dict[str, Limits]:
        """The checks of the purpose and the category."""
        usual = {**LIMITS.get(self.purpose or "", {})}
        if self.category is not None:
            usual["largest_category"] = Limits(max=0.6)
        return usual


def _limits(limits: Limits) -> bool:
    return limits.min is not None or limits.max is not None


@stage(takes=("rollouts", "tasks", "pairs"), version=1, reads="facts")
def validate(rows: pl.LazyFrame, params: Validate, facts: Told) -> tuple[pl.LazyFrame, Facts]:
    """Log each check's figure and limits; a figure outside them warns, or stops the run.

    A check that is not for what arrives, such as `mean_gap` for rollouts, is left out and says so.
    """
    names = rows.collect_schema().names()
    unit = unit_of(names)
    table = rows.select(_judged(names, params)).collect()
    results = []
    left_out = []
    for name, limits in params.limits().items():
        entry = CHECKS[name]
        if unit not in entry.takes:
            left_out.append(f"{name} was not checked: it is for {entry.takes[0]}, not {unit}.")
            continue
        figure = entry.function(table, facts, as_number(limits.at), params.category)
        if figure is not None and not isinstance(figure, int | float):
            said = f"should give a number or None, got a {type(figure).__name__}"
            raise RecipeError(f"the check '{name}' ({entry.function.__module__}) {said}.")
        results.append(result(name, figure, limits))
    schema = {
        "check": pl.String, "figure": pl.Float64, "min": pl.Float64, "max": pl.Float64,
        "level": pl.String, "ok": pl.Boolean,
    }  # fmt: skip
    return rows, {
        "checks": pl.LazyFrame(results, schema=schema),
        "warnings": pl.LazyFrame({"message": left_out}, schema={"message": pl.String}),
    }


def _judged(names: list[str], params: Validate) -> list[str]:
    """The columns that the checks read: of a pair there are many that none does."""
    if not all(is_ours(CHECKS[check]) for check in params.limits()):
        return names  # what a check of a plugin reads is not known
    by = () if params.category is None else (params.category, of_pair(params.category))
    return [name for name in names if name in READ or name in by]


def result(name: str, figure: float | None, limits: Limits) -> dict[str, Any]:
    """One row of the table `checks`."""
    ok = figure is None or (
        (limits.min is None or figure >= limits.min - TOLERANCE)
        and (limits.max is None or figure <= limits.max + TOLERANCE)
    )
    return {
        "check": name,
        "figure": None if figure is None else float(figure),
        "min": limits.min,
        "max": limits.max,
        "level": limits.level,
        "ok": ok,
    }
