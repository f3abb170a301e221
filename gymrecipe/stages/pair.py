"""Pair: preference pairs between rollouts of the same prompt."""

from __future__ import annotations

from gymrecipe.lazy_polars import pl
from gymrecipe.parameters import is_above
from gymrecipe.registry import STRATEGIES, Facts, is_ours, stage
from gymrecipe.rollouts.columns import PAIR_COLUMNS, SIDES
from gymrecipe.rollouts.figures import distinct, repeated
from gymrecipe.rollouts.hashes import parts
from gymrecipe.rollouts.lookup import column, gathered
from gymrecipe.stages import candidates, ranking, unpaired
from gymrecipe.stages.pairing import Pair


@stage(takes="rollouts", makes="pairs", version=4)
def pair(rollouts: pl.LazyFrame, params: Pair) -> tuple[pl.LazyFrame, Facts]:
    """Pair better with worse rollouts of the same prompt.

    | task | reward |        | chosen | rejected | gap |
    |------|--------|        |--------|----------|-----|
    | a    | 1.0    |   →    | a: 1.0 | a: 0.2   | 0.8 |
    | a    | 0.2    |

    One total order ranks the rollouts of a prompt: `by` descending, then (with `ties: shortest`)
    the shorter answer, then draw. A pair has `gap`, `draw`, `task_key`, `prompt_key`, and every
    column of its rollouts as `chosen_…` and `rejected_…`. A rollout in no pair leaves as half a
    pair (`chosen_row` only) with the fate of its task as the reason: see FATES, and `missing_<by>`.
    """
    # Of millions of rollouts: nothing here is wider than it has to be, and a column of the rollouts
    # is there only while it is looked at. `at`, `chosen` and `rejected` are places in `rollouts`.
    with_two = 0
    pairs, fates = [], unpaired.unpaired(rollouts, params.by)
    for among in _parts(rollouts, params):
        ranked = ranking.ranked(rollouts, among, params)
        found, verdicts = candidates.judged(rollouts, ranked, params)
        fates = unpaired.fates(fates, rollouts, ranked, verdicts, found, params.by)
        with_two += len(repeated(column(rollouts, "task_key")[ranked["at"]]))
        pairs.append(found)
        del ranked, verdicts, found
    made = pl.concat(pairs)
    facts = {
        "tasks": unpaired.tasks(rollouts, fates, params.by),
        "rates": _rates(rollouts, with_two, made, params),
        "compared": _compared(rollouts.filter(ranking.usable(params.by)), params.by),
    }
    # A quantile made them so, in this data.
    if params.strategy == "tiers" and is_above(params.low, params.high):
        said = f"low ({params.low:g}) is above high ({params.high:g}), so that the tiers overlap"
        facts["warnings"] = pl.LazyFrame({"message": [said]})
    rows = column(rollouts, "row")
    whole = made.select(
        "gap", "chosen", "rejected",
        chosen_row=rows[made["chosen"]], rejected_row=rows[made["rejected"]],
    ).sort("chosen_row", "rejected_row")  # fmt: skip
    left = fates != "paired"
    halves = pl.DataFrame({"chosen_row": rows.filter(left), "reason": fates.filter(left)})
    table = pl.concat([whole, halves.sort("chosen_row")], how="diagonal").lazy()
    columns = {"gap": pl.col("gap")}
    columns |= {name: gathered(rollouts, name, "chosen") for name in PAIR_COLUMNS if name != "gap"}
    for side in SIDES:
        for name in rollouts.collect_schema().names():
            columns[f"{side}_{name}"] = gathered(rollouts, name, side)
    columns |= {name: pl.col(name) for name in ("chosen_row", "rejected_row", "reason")}
    return table.select(**columns), facts


def _parts(rollouts: pl.LazyFrame, params: Pair) -> list[pl.Expr]:
    """The rollouts in parts of whole tasks."""
    if _looks_at_all(params):
        return [pl.lit(True)]
    return parts("task_key", column(rollouts, pl.len()).item())


def _looks_at_all(params: Pair) -> bool:
    """Whether the rollouts of all tasks are ranked together; a strategy of a plugin may do so."""
    return params.across_prompts or not is_ours(STRATEGIES[params.strategy])


def held_against(rollouts: pl.LazyFrame, at: int, params: Pair) -> pl.DataFrame:
    """What the strategy held against the rollout at this place, see `candidates.of_one`."""
    task = column(rollouts, "task_key")[at]
    among = pl.lit(True) if _looks_at_all(params) else pl.col("task_key") == task
    return candidates.of_one(rollouts, ranking.ranked(rollouts, among, params), at, params)


def _rates(rollouts: pl.LazyFrame, with_two: int, made: pl.DataFrame, params: Pair) -> pl.LazyFrame:
    """Pair creation rate: tasks with a pair over tasks with two usable rollouts; pairs per task.

    Across prompts there is no rate, for there a single rollout is enough.
    """
    with_pair = column(rollouts, "task_key")[made["chosen"]].n_unique()
    rated = with_two > 0 and not params.across_prompts
    rates = {
        "tasks_with_two": with_two,
        "tasks_with_pair": with_pair,
        "pairs": made.height,
        "pair_rate": with_pair / with_two if rated else None,
        "pairs_per_task": made.height / with_pair if with_pair else None,
    }
    schema = {
        "tasks_with_two": pl.UInt32, "tasks_with_pair": pl.UInt32, "pairs": pl.UInt32,
        "pair_rate": pl.Float64, "pairs_per_task": pl.Float64,
    }  # fmt: skip
    return pl.LazyFrame([rates], schema=schema)


def _compared(rollouts: pl.LazyFrame, by: str) -> pl.LazyFrame:
    """What the metric looks like that ranks: what a wide gap is depends on it."""
    values = column(rollouts, by).sort()
    figures = {"distinct": distinct(values), "least": values.min(), "most": values.max()}
    schema = {"distinct": pl.UInt32, "least": pl.Float64, "most": pl.Float64}
    return pl.LazyFrame([figures], schema=schema)
