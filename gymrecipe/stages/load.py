"""Load: which files are read, where the score is, and which rollouts belong together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import Params
from gymrecipe.registry import Facts, stage
from gymrecipe.rollouts.columns import TASK_FIELD, parse_path
from gymrecipe.rollouts.figures import describe, repeated
from gymrecipe.rollouts.files import SAMPLE
from gymrecipe.rollouts.hashes import combine, parts, uniform
from gymrecipe.rollouts.tasks import with_task_key

TASK_FIELDS = [
    "task_id", "task_idx", "uuid", "id", "problem_id", "difficulty", "ground_truth",
    "expected_answer",
]  # fmt: skip


class Load(Params):
    """What to read, and how its lines are understood."""

    use: Literal["load"] = "load"
    input: str | list[str] = SAMPLE
    """The rollout files: a path or a list of paths and globs. Each entry is one run. The default
    is the sample that ships with gymrecipe."""
    sidecars: bool = False
    """Whether the files that NeMo Gym writes beside its rollouts may be read."""
    materialized_inputs: str | list[str] | None = None
    """The `<stem>_materialized_inputs.jsonl` of all of `input`, or one for each entry of it: they
    have what the verifiers of RL prompts need."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Read only the first N lines over all inputs; the rest is neither read nor counted."""
    limit_tasks: Annotated[int, Field(ge=1)] | None = None
    """Keep only the first N tasks by their first line, each with all its rollouts."""
    max_bad_rows: Annotated[int, Field(ge=0)] | str | None = None
    """More lines than this that are no rollouts stop the run: a count (in file order), or a share
    such as 1% (at the end). The default is 0.1%, but at least 10."""
    reward: str = "reward"
    """The path of the score in a line, such as `accuracy` or `reward_components.format`."""
    group_by: str = "auto"
    """Which rollouts answer the same task: `auto`, a path such as `task_id`, or `consecutive`."""
    num_repeats: Annotated[int, Field(ge=1)] | None = None
    """With `group_by: consecutive`: how many lines in a row answer the same task."""
    task_fields: list[str] = TASK_FIELDS
    """Fields that tell tasks with the same prompt apart."""
    seed: int = 0
    """What every draw is made from, with the rollout itself."""

    @field_validator("max_bad_rows", mode="before")
    @classmethod
    def _count_or_share(cls, value: Any) -> Any:
        is_count = type(value) is int and value >= 0
        is_share = isinstance(value, str) and value.endswith("%") and _is_percentage(value[:-1])
        if value is not None and not is_count and not is_share:
            raise ValueError("should be a count such as 10, or a percentage such as 1%")
        return value

    @model_validator(mode="after")
    def _consecutive(self) -> Load:
        if (self.group_by == "consecutive") != (self.num_repeats is not None):
            raise ValueError("group_by: consecutive and num_repeats need each other")
        return self

    @field_validator("reward", "group_by", "task_fields")
    @classmethod
    def _paths(cls, value: str | list[str]) -> str | list[str]:
        for name in [value] if isinstance(value, str) else value:
            parse_path(name)
        return value


def _is_percentage(text: str) -> bool:
    try:
        return 0 <= float(text) <= 100
    except ValueError:
        return False


@stage(takes=(), makes="rollouts", version=8)
def load(rows: pl.LazyFrame, params: Load) -> tuple[pl.LazyFrame, Facts]:
    """Read rollouts, and say which answer the same task (`task_key`).

    Rejects `over_limit_tasks`: rollouts of tasks beyond `limit_tasks`. Lines that are no rollouts
    are rejected with their own reasons while they are read.
    """
    table = rows.collect()
    rewards = describe(table["reward"])
    occurrence = _occurrence(table)
    keyed, figures = with_task_key(table, occurrence, params.group_by, params.num_repeats)
    if copies := int(table.select((occurrence > 0).sum()).item()):
        figures["copies"] = copies
    if again := _again(table):
        figures["repeated_indices"] = again
    identity = pl.col("id_lo") ^ occurrence
    keyed = keyed.with_columns(draw=uniform(identity, params.seed, "draw"))
    if params.limit_tasks is not None:
        first = pl.col("row").min().over(pl.coalesce("task_key", "id_lo"))
        keyed = keyed.with_columns(
            reason=pl.when(first.rank("dense") > params.limit_tasks).then(
                pl.lit("over_limit_tasks")
            )
        )
    facts = {"grouping": pl.LazyFrame([figures]), "rewards": pl.LazyFrame([rewards])}
    hidden = ["index_key", "repeat_key", "group_value", "place", "run"]
    hidden += [name for name in keyed.columns if name.startswith(TASK_FIELD)]
    return keyed.drop(hidden, strict=False).lazy(), facts


def _occurrence(table: pl.DataFrame) -> pl.Expr:
    """Which of equal lines a line is: 0 for the first."""
    first = pl.lit(0, pl.UInt64)
    twice = repeated(table["id_lo"])
    if twice.is_empty():
        return first
    place = pl.int_range(pl.len(), dtype=pl.UInt64).over("id_hi", "id_lo")
    again = (
        table.select("id_hi", "id_lo")
        .with_row_index("at")
        .filter(pl.col("id_lo").is_in(twice.implode()))
        .with_columns(place=place)
    )
    places = pl.zeros(table.height, pl.UInt64, eager=True)
    return pl.lit(places.scatter(again["at"], again["place"]))


def _again(table: pl.DataFrame) -> int:
    """How many lines have the prompt and both indices of an earlier one of their run, and other
    bytes: the same rollout once more, or one of another run in the same file.
    """
    if table["repeat_key"].null_count() == table.height:
        return 0
    prompt = pl.col("prompt_key").fill_null(0)
    key = combine(0, pl.col("run"), pl.col("index_key"), prompt, pl.col("repeat_key"))
    return sum(
        _again_of(table.lazy().filter(part).select(key=key, line="id_lo").collect())
        for part in parts("index_key", table.height)
    )


def _again_of(keyed: pl.DataFrame) -> int:
    twice = repeated(keyed["key"])
    return keyed.filter(pl.col("key").is_in(twice.implode())).unique().height - len(twice)
