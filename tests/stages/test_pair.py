"""Pair: against a slow and obvious pairing in plain Python, and each rule by itself."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gymrecipe.reasons import FATES
from gymrecipe.registry import STRATEGIES
from gymrecipe.stages import candidates
from gymrecipe.stages.pair import pair
from gymrecipe.stages.pairing import Pair
from tests.full import few
from tests.stages.conftest import Columns, call, rollouts, shuffles

Made = list[tuple[int, int, float]]
Fates = dict[int, str]


def paired(params: Pair, rows: pl.LazyFrame) -> tuple[Made, Fates]:
    """The pairs as (chosen, rejected, gap), and the reason of every rollout in none."""
    table = pair(rows, params)[0].collect()
    whole = table.filter(pl.col("reason").is_null())
    halves = table.filter(pl.col("reason").is_not_null())
    assert halves["rejected_row"].null_count() == halves.height
    made = list(whole.select("chosen_row", "rejected_row", "gap").iter_rows())
    assert halves["chosen_row"].is_unique().all()
    return made, dict(halves.select("chosen_row", "reason").iter_rows())


def pairs_of(params: Pair, columns: Columns) -> list[tuple[int, int]]:
    return [(chosen, rejected) for chosen, rejected, _ in paired(params, rollouts(columns))[0]]


def fates_of(params: Pair, columns: Columns) -> Fates:
    return paired(params, rollouts(columns))[1]


def facts_of(params: Pair, columns: Columns) -> dict[str, Any]:
    return call(rollouts(columns), params)[1]


FEW = few(3)
"""An example is a dozen queries."""


# --- the oracle: every strategy and every fate, without a table in sight

T = 1e-9


def expected(params: Pair, rows: list[dict[str, Any]]) -> tuple[Made, Fates]:
    usable = [row for row in rows if row["reward"] is not None and row["task_key"] is not None]

    def rank(row: dict[str, Any]) -> tuple[float, int, float]:
        return -row["reward"], row["answer_chars"] if params.ties == "shortest" else 0, row["draw"]

    def group_of(row: dict[str, Any]) -> Any:
        return 0 if params.across_prompts else (row["task_key"], row["prompt_key"])

    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in sorted(usable, key=rank):
        groups.setdefault(group_of(row), []).append(row)
    made, verdicts = [], {}
    for key, group in groups.items():
        judged = [(verdict(params, a, b), a, b) for a, b in held_against(params, group)]
        verdicts[key] = [said for said, _, _ in judged]
        made += [(a, b) for said, a, b in judged if said is None]
    made = capped(params, made, rank)
    inside = {row["row"] for pair in made for row in pair}
    fates = {}
    for row in rows:
        if row["row"] in inside:
            continue
        if row["task_key"] is None:
            fate = "task_unclear"
        elif row["reward"] is None:
            fate = "missing_reward"
        else:
            task = [other for other in usable if other["task_key"] == row["task_key"]]
            fate = fate_of(params, groups[group_of(row)], verdicts[group_of(row)], len(task))
        fates[row["row"]] = fate
    return sorted((a["row"], b["row"], a["reward"] - b["reward"]) for a, b in made), fates


def held_against(params: Pair, group: list[dict[str, Any]]) -> list[Any]:
    n = len(group)
    if params.strategy == "mirrored":
        return [(group[i], group[n - 1 - i]) for i in range(n // 2)]
    if params.strategy == "best_vs_worst":
        return [(group[0], group[-1])] if n > 1 else []
    if params.strategy == "best_vs_second":
        return [(group[0], group[1])] if n > 1 else []
    if params.strategy == "all":
        return [(group[i], group[j]) for i in range(n) for j in range(i + 1, n)]
    good = [row for row in group if tier(params.high, row, True)]
    bad = [row for row in reversed(group) if tier(params.low, row, False)]
    return list(zip(good, bad, strict=False))


def tier(limit: float | str, row: dict[str, Any], high: bool) -> bool:
    if isinstance(limit, str):  # The expressions below: `accuracy >= 0.5`, `accuracy < 0.5`.
        value = row["accuracy"]
        return value is not None and (value >= 0.5 if high else value < 0.5)
    return row["reward"] >= limit - T if high else row["reward"] <= limit + T


def verdict(params: Pair, a: dict[str, Any], b: dict[str, Any]) -> str | None:
    gap = a["reward"] - b["reward"]
    if abs(gap) <= T:
        return "tied"
    if gap < params.min_gap - T:
        return "gap_too_small"
    if params.max_gap is not None and gap > params.max_gap + T:
        return "gap_too_large"
    return "identical_answers" if a["answer_key"] == b["answer_key"] else None


def capped(params: Pair, made: list[Any], rank: Any) -> list[Any]:
    most = params.max_pairs if params.across_prompts else params.max_pairs_per_task
    if most is None:
        return made
    kept: dict[Any, list[Any]] = {}
    widest = sorted(made, key=lambda pair: rank(pair[1]), reverse=True)
    widest = sorted(widest, key=lambda pair: rank(pair[0]))
    for a, b in sorted(widest, key=lambda pair: pair[1]["reward"] - pair[0]["reward"]):
        kept.setdefault(0 if params.across_prompts else a["task_key"], []).append((a, b))
    return [pair for widest in kept.values() for pair in widest[:most]]


def fate_of(params: Pair, group: list[dict[str, Any]], said: list[Any], in_task: int) -> str:
    if None in said:
        return "not_selected"
    if len(group) == 1:
        return "prompts_differ" if in_task > 1 else "only_one"
    if group[0]["reward"] - group[-1]["reward"] <= T:
        return "all_equal"
    if params.strategy == "tiers":
        if not any(tier(params.high, row, True) for row in group):
            return "no_high"
        if not any(tier(params.low, row, False) for row in group):
            return "no_low"
    order = ["identical_answers", "gap_too_large", "gap_too_small", "tied"]
    return next(name for name in order if name in said)


REWARDS = [None, 0.0, 0.2, 0.4, 0.5, 0.7, 0.9999999999999998, 1.0, 1.0 + 5e-10, -2.0]
ROW = st.fixed_dictionaries(
    {
        "task_key": st.sampled_from([None, 1, 1, 2, 3]),
        "prompt_key": st.sampled_from([5, 5, 5, 6, None]),
        "reward": st.sampled_from(REWARDS),
        "accuracy": st.sampled_from([None, 0.1, 0.4, 0.5, 0.9]),
        "answer_key": st.integers(0, 4),
        "answer_chars": st.integers(0, 2),
    }
)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = draw(st.lists(ROW, min_size=1, max_size=16))
    places = draw(st.permutations(range(len(rows))))
    return [
        row | {"row": i, "draw": place / len(rows)}
        for i, (row, place) in enumerate(zip(rows, places, strict=True))
    ]


def table_of(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    return rollouts({name: [row[name] for row in rows] for name in rows[0]}).cast(
        {"accuracy": pl.Float64}
    )


def params_of(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[Pair]:
    gaps = st.sampled_from([(0.0, None), (0.2, None), (0.5, None), (0.0, 0.5), (0.2, 0.3)])
    shared = {
        "gaps": gaps,
        "max_pairs_per_task": st.sampled_from([None, None, 1, 2]),
        "ties": st.sampled_from(["draw", "shortest"]),
    }

    def build(values: dict[str, Any]) -> Pair:
        min_gap, max_gap = values.pop("gaps")
        return Pair.model_validate(values | {"min_gap": min_gap, "max_gap": max_gap})

    return st.fixed_dictionaries(shared | more).map(build)


def check(params: Pair, rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    made, fates = paired(params, table)
    assert (made, fates) == expected(params, rows)
    inside = {row for chosen, rejected, _ in made for row in (chosen, rejected)}
    assert inside | fates.keys() == set(range(len(rows)))
    assert not inside & fates.keys()
    assert set(fates.values()) <= FATES.keys() | {"missing_reward"}
    assert paired(params, table.reverse()) == (made, fates)


@pytest.mark.parametrize("strategy", ["mirrored", "best_vs_worst", "best_vs_second", "all"])
def test_a_strategy_does_what_its_oracle_does(strategy: str) -> None:
    @FEW
    @given(params_of(strategy=st.just(strategy)), tables())
    def agrees(params: Pair, rows: list[dict[str, Any]]) -> None:
        check(params, rows)

    agrees()


@pytest.mark.parametrize("together", [1, 7])
def test_all_makes_the_same_pairs_in_parts(together: int) -> None:
    @FEW
    @given(params_of(strategy=st.just("all")), tables())
    def agrees(params: Pair, rows: list[dict[str, Any]]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(candidates, "TOGETHER", together)
            check(params, rows)

    agrees()


@FEW
@given(
    params_of(
        strategy=st.just("tiers"),
        high=st.sampled_from([0.7, 1.0, "accuracy >= 0.5"]),
        low=st.sampled_from([0.4, 0.0, 0.7, "accuracy < 0.5"]),
    ),
    tables(),
)
def test_tiers_do_what_their_oracle_does(params: Pair, rows: list[dict[str, Any]]) -> None:
    check(params, rows)


@FEW
@given(
    params_of(
        strategy=st.just("tiers"),
        high=st.sampled_from([0.7, "accuracy >= 0.5"]),
        low=st.sampled_from([0.4, "accuracy < 0.5"]),
        across_prompts=st.just(True),
        max_pairs=st.integers(1, 5),
        max_pairs_per_task=st.none(),
    ),
    tables(),
)
def test_pairs_across_prompts_do_what_their_oracle_does(
    params: Pair, rows: list[dict[str, Any]]
) -> None:
    check(params, rows)


def test_every_strategy_has_an_oracle() -> None:
    tested = {"mirrored", "best_vs_worst", "best_vs_second", "all", "tiers"}
    ours = {
        name
        for name, entry in STRATEGIES.items()
        if entry.function.__module__.startswith("gymrecipe.")
    }
    assert ours == tested


# --- strategies


def test_mirrored_pairs_the_ith_best_with_the_ith_worst() -> None:
    rows = {"reward": [0.1, 0.9, 0.3, 0.5, 0.7]}
    assert pairs_of(Pair(), rows) == [(1, 0), (4, 2)]
    assert fates_of(Pair(), rows) == {3: "not_selected"}


def test_best_vs_worst_makes_one_pair_a_task() -> None:
    rows = {"reward": [0.5, 1.0, 0.0, 1.0, 0.0], "task_key": [1, 1, 1, 2, 2]}
    assert pairs_of(Pair(strategy="best_vs_worst"), rows) == [(1, 2), (3, 4)]


def test_best_vs_second_takes_the_two_at_the_top() -> None:
    assert pairs_of(Pair(strategy="best_vs_second"), {"reward": [0.5, 1.0, 0.8]}) == [(1, 2)]


def test_best_vs_second_of_one_is_no_pair() -> None:
    assert fates_of(Pair(strategy="best_vs_second"), {"reward": [1.0]}) == {0: "only_one"}


def test_all_pairs_every_better_with_every_worse() -> None:
    rows = {"reward": [0.0, 0.5, 1.0]}
    assert pairs_of(Pair(strategy="all"), rows) == [(1, 0), (2, 0), (2, 1)]


def test_tiers_leave_the_middle_out() -> None:
    rows = {"reward": [0.7, 0.4, 0.55, 0.9, 0.1]}
    assert pairs_of(Pair(strategy="tiers"), rows) == [(0, 1), (3, 4)]
    assert fates_of(Pair(strategy="tiers"), rows) == {2: "not_selected"}


def test_tiers_that_the_data_makes_overlap_are_told() -> None:
    resolved = Pair(strategy="tiers", high="p10", low=0.9).model_copy(update={"high": 0.2})
    said = "low (0.9) is above high (0.2), so that the tiers overlap"
    assert facts_of(resolved, {"reward": [0.5, 0.3]})["warnings"] == [{"message": said}]
    assert "warnings" not in facts_of(Pair(strategy="tiers"), {"reward": [0.5, 0.3]})


def test_tiers_by_expression_ask_several_metrics() -> None:
    params = Pair(
        strategy="tiers", high="accuracy >= 0.8 and overlap >= 0.9", low="accuracy <= 0.3"
    )
    rows = {
        "accuracy": [0.9, 0.9, 0.1, None],
        "overlap": [0.95, 0.5, 0.0, 1.0],
        "reward": [0.8, 1.0, 0.2, 0.0],
    }
    assert pairs_of(params, rows) == [(0, 2)]


def test_a_high_tier_that_is_worse_by_the_metric_is_no_pair() -> None:
    params = Pair(strategy="tiers", high="accuracy > 0.5", low="accuracy < 0.5")
    rows = {"accuracy": [0.9, 0.1], "reward": [0.2, 0.8]}
    assert fates_of(params, rows) == {0: "gap_too_small", 1: "gap_too_small"}


def test_another_metric_ranks_and_makes_the_gap() -> None:
    rows = {"accuracy": [0.25, 1.0], "reward": [1.0, 0.0]}
    assert paired(Pair(by="accuracy"), rollouts(rows))[0] == [(1, 0, 0.75)]


@pytest.mark.parametrize(
    "name", ["n", "order", "place", "group", "high", "low", "value", "gap", "size", "made", "equal"]
)
def test_a_metric_may_have_any_name(name: str) -> None:
    rows: dict[str, Any] = {name: [0.0, 1.0, 0.5, None], "task_key": [1, 1, 1, 1]}
    made, fates = paired(Pair(by=name), rollouts(rows))
    assert made == [(1, 0, 1.0)]
    assert fates == {2: "not_selected", 3: f"missing_{name}"}


@pytest.mark.parametrize("name", ["group", "size", "n", "gap", "made"])
def test_a_column_that_is_only_carried_along_may_have_any_name(name: str) -> None:
    rows: dict[str, Any] = {name: ["x", "y"], "reward": [1.0, 0.0]}
    table, _ = call(rollouts(rows), Pair())
    assert table[f"chosen_{name}"].to_list() == ["x"]
    assert table[f"rejected_{name}"].to_list() == ["y"]
    assert table["reason"].to_list() == [None]


def test_half_a_pair_says_only_which_rollout_it_is() -> None:
    table, _ = call(rollouts({"reward": [1.0, 1.0]}), Pair())
    assert table["chosen_row"].to_list() == [0, 1]
    assert table["rejected_row"].to_list() == [None, None]
    assert table["reason"].to_list() == ["all_equal"] * 2


# --- gaps


def test_a_gap_that_floats_miss_meets_min_gap() -> None:
    assert pairs_of(Pair(min_gap=0.2), {"reward": [0.7, 0.5]}) == [(0, 1)]


def test_a_gap_below_min_gap_is_too_small() -> None:
    said = fates_of(Pair(min_gap=0.2), {"reward": [0.7, 0.5 + 2e-9]})
    assert said == {0: "gap_too_small", 1: "gap_too_small"}


def test_a_gap_at_max_gap_is_allowed() -> None:
    assert pairs_of(Pair(max_gap=0.3), {"reward": [0.1 + 0.2, 0.0]}) == [(0, 1)]


def test_a_gap_above_max_gap_is_too_large() -> None:
    said = fates_of(Pair(max_gap=0.5), {"reward": [1.0, 0.0]})
    assert said == {0: "gap_too_large", 1: "gap_too_large"}


def test_a_gap_beyond_every_number_is_too_large() -> None:
    rows: Columns = {"reward": [1e308, -1e308, 0.5, 0.0]}
    made, said = paired(Pair(strategy="all"), rollouts(rows))
    assert {(chosen, rejected) for chosen, rejected, _ in made} == {
        (0, 2), (0, 3), (2, 3), (2, 1), (3, 1)
    }  # fmt: skip
    assert (max(gap for *_, gap in made), said) == (1e308, {})
    assert fates_of(Pair(), {"reward": [1e308, -1e308]}) == dict.fromkeys((0, 1), "gap_too_large")


def test_equal_values_never_pair_not_even_without_a_min_gap() -> None:
    said = fates_of(Pair(min_gap=0.0), {"reward": [0.5, 0.5]})
    assert said == {0: "all_equal", 1: "all_equal"}


def test_values_within_the_tolerance_are_equal() -> None:
    said = fates_of(Pair(min_gap=0.0), {"reward": [1.0, 0.9999999999999998]})
    assert said == {0: "all_equal", 1: "all_equal"}


def test_two_equal_ones_at_the_top_are_tied() -> None:
    said = fates_of(Pair(strategy="best_vs_second"), {"reward": [1.0, 1.0, 0.0]})
    assert said == dict.fromkeys(range(3), "tied")


def test_identical_answers_never_pair() -> None:
    rows = {"reward": [1.0, 0.0], "answer_key": [9, 9]}
    assert fates_of(Pair(), rows) == {0: "identical_answers", 1: "identical_answers"}


def test_a_task_has_the_fate_that_came_nearest_to_a_pair() -> None:
    rows = {"reward": [1.0, 0.9, 0.85, 0.0], "answer_key": [9, 1, 2, 9]}
    assert set(fates_of(Pair(min_gap=0.2), rows).values()) == {"identical_answers"}


# --- caps and ties


def test_the_widest_pairs_of_a_task_are_kept() -> None:
    rows = {"reward": [0.0, 0.6, 1.0]}
    params = Pair(strategy="all", max_pairs_per_task=2)
    assert pairs_of(params, rows) == [(1, 0), (2, 0)]


def test_the_cap_counts_pairs_of_a_task_and_not_of_a_prompt() -> None:
    rows = {"reward": [1.0, 0.0, 0.9, 0.0], "prompt_key": [5, 5, 6, 6], "task_key": [1] * 4}
    assert pairs_of(Pair(max_pairs_per_task=1), rows) == [(0, 1)]
    assert fates_of(Pair(max_pairs_per_task=1), rows) == {2: "not_selected", 3: "not_selected"}


def test_each_task_has_its_own_cap() -> None:
    rows = {"reward": [1.0, 0.0, 0.9, 0.0], "task_key": [1, 1, 2, 2]}
    assert pairs_of(Pair(max_pairs_per_task=1), rows) == [(0, 1), (2, 3)]


MANY = 20_000
"""Rollouts of one task: two at a time are 200 million, which no machine here has room for."""


@pytest.mark.parametrize("values", [MANY, 11, 2])
def test_of_all_pairs_of_many_rollouts_the_widest_are_kept(values: int) -> None:
    reward = [row % values / (values - 1) for row in range(MANY)]
    answer_key = [row % 4 for row in range(MANY)]
    params = Pair(strategy="all", max_pairs_per_task=5)
    ranked = sorted(range(MANY), key=lambda row: (-reward[row], row))
    near_the_ends = [(a, b) for a in ranked[:20] for b in reversed(ranked[-20:])]
    different = [(a, b) for a, b in near_the_ends if answer_key[a] != answer_key[b]]
    widest = sorted(different, key=lambda pair: reward[pair[1]] - reward[pair[0]])[:5]
    assert pairs_of(params, {"reward": reward, "answer_key": answer_key}) == sorted(widest)


@pytest.mark.parametrize(("gaps", "expected"), [((1.0, None), 1), ((0.0, 0.00006), MANY - 1)])
def test_pairs_within_the_gaps_are_found_among_many_rollouts(
    gaps: tuple[float, float | None], expected: int
) -> None:
    min_gap, max_gap = gaps
    params = Pair(strategy="all", min_gap=min_gap, max_gap=max_gap)
    reward = [row / (MANY - 1) for row in range(MANY)]
    assert len(pairs_of(params, {"reward": reward})) == expected


def test_ties_go_by_draw() -> None:
    rows = {"reward": [1.0, 1.0, 0.0], "draw": [0.9, 0.1, 0.5], "answer_chars": [1, 9, 1]}
    assert pairs_of(Pair(strategy="best_vs_worst"), rows) == [(1, 2)]


def test_the_shortest_of_equal_ones_can_be_preferred() -> None:
    rows = {"reward": [1.0, 1.0, 0.0], "draw": [0.9, 0.1, 0.5], "answer_chars": [1, 9, 1]}
    assert pairs_of(Pair(strategy="best_vs_worst", ties="shortest"), rows) == [(0, 2)]


def test_the_shortest_comes_after_the_metric() -> None:
    rows = {"reward": [0.9, 1.0, 0.0], "answer_chars": [1, 9, 1]}
    assert pairs_of(Pair(strategy="best_vs_worst", ties="shortest"), rows) == [(1, 2)]


# --- which rollouts belong together


@pytest.mark.parametrize("by", ["answer_chars", "draw"])
def test_what_breaks_ties_may_be_the_metric_too(by: str) -> None:
    rows: Columns = {"draw": [0.25, 0.5, 1.0], "answer_chars": [1, 2, 4]}
    params = Pair(strategy="all", by=by, ties="shortest", max_pairs_per_task=1)
    assert pairs_of(params, rows) == [(2, 0)]


def test_rollouts_of_different_tasks_never_pair() -> None:
    rows = {"reward": [1.0, 0.0], "task_key": [1, 2], "prompt_key": [5, 5]}
    assert fates_of(Pair(), rows) == {0: "only_one", 1: "only_one"}


def test_rollouts_of_one_task_with_different_prompts_never_pair() -> None:
    rows = {"reward": [1.0, 0.0], "task_key": [1, 1], "prompt_key": [5, 6]}
    assert fates_of(Pair(), rows) == {0: "prompts_differ", 1: "prompts_differ"}


def test_a_task_without_prompts_pairs() -> None:
    assert pairs_of(Pair(), {"reward": [1.0, 0.0], "prompt_key": [None, None]}) == [(0, 1)]


def test_rollouts_of_unclear_tasks_never_pair() -> None:
    rows = {"reward": [1.0, 0.0], "task_key": [None, None], "prompt_key": [5, 5]}
    assert fates_of(Pair(), rows) == {0: "task_unclear", 1: "task_unclear"}


def test_a_missing_reward_is_not_zero() -> None:
    said = fates_of(Pair(), {"reward": [1.0, None]})
    assert said == {0: "only_one", 1: "missing_reward"}


def test_a_reward_of_zero_is_a_reward() -> None:
    assert pairs_of(Pair(), {"reward": [1.0, 0.0]}) == [(0, 1)]


def test_repeats_far_apart_in_the_file_are_found() -> None:
    rows = {"reward": [1.0, 1.0, 0.0], "task_key": [1, 2, 1]}
    assert pairs_of(Pair(), rows) == [(0, 2)]


def test_without_a_rollout_in_the_high_tier_there_is_no_pair() -> None:
    said = fates_of(Pair(strategy="tiers"), {"reward": [0.5, 0.1]})
    assert said == {0: "no_high", 1: "no_high"}


def test_without_a_rollout_in_the_low_tier_there_is_no_pair() -> None:
    said = fates_of(Pair(strategy="tiers"), {"reward": [0.9, 0.5]})
    assert said == {0: "no_low", 1: "no_low"}


def test_the_edges_of_tiers_hold_within_the_tolerance() -> None:
    rows = {"reward": [0.7 - 0.9e-9, 0.1 + 0.2 + 0.1]}
    assert pairs_of(Pair(strategy="tiers"), rows) == [(0, 1)]


# --- across prompts


def test_across_prompts_any_task_pairs_with_any() -> None:
    rows = {"reward": [1.0, 0.0], "task_key": [1, 2]}
    params = Pair(strategy="tiers", across_prompts=True, max_pairs=9)
    assert pairs_of(params, rows) == [(0, 1)]


def test_across_prompts_max_pairs_keeps_the_widest() -> None:
    rows = {"reward": [0.8, 1.0, 0.0, 0.3], "task_key": [1, 2, 3, 4]}
    params = Pair(strategy="tiers", across_prompts=True, max_pairs=1)
    assert pairs_of(params, rows) == [(1, 2)]
    assert fates_of(params, rows) == {0: "not_selected", 3: "not_selected"}


def test_across_prompts_there_is_no_pair_rate() -> None:
    rows = {"reward": [1.0, 0.0, 1.0, 0.0], "task_key": [1, 2, 3, 3]}
    params = Pair(strategy="tiers", across_prompts=True, max_pairs=9)
    assert facts_of(params, rows)["rates"][0]["pair_rate"] is None


# --- the table and its facts


def test_a_pair_has_both_sides_and_the_chosen_ones_keys() -> None:
    rows = {"reward": [0.0, 1.0], "draw": [0.25, 0.75], "turns": [3, 4], "model": ["a", "b"]}
    table, _ = call(rollouts(rows), Pair())
    assert table.select(
        "gap", "draw", "chosen_reward", "rejected_reward", "chosen_turns", "rejected_turns",
        "chosen_model", "rejected_model", "reason",
    ).rows() == [(1.0, 0.75, 1.0, 0.0, 4, 3, "b", "a", None)]  # fmt: skip
    assert table["task_key"].to_list() == table["rejected_task_key"].to_list()


def test_the_columns_are_the_same_with_and_without_pairs() -> None:
    some, _ = call(rollouts({"reward": [0.0, 1.0]}), Pair())
    none, _ = call(rollouts({"reward": [1.0, 1.0]}), Pair())
    empty, _ = call(rollouts({"reward": []}), Pair())
    assert some.schema == none.schema == empty.schema


def test_pairs_stand_where_their_chosen_lines_stand() -> None:
    rows = {"reward": [0.0, 1.0, 0.4, 0.5], "task_key": [2, 2, 1, 1]}
    for shuffled in shuffles(rollouts(rows)):
        assert [made[:2] for made in paired(Pair(), shuffled)[0]] == [(1, 0), (3, 2)]


def test_the_pair_rate_is_over_tasks_with_two_usable_rollouts() -> None:
    rows = {
        "task_key": [1, 1, 2, 2, 3, 4, 4, None, None],
        "reward": [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, None, 1.0, 0.0],
    }
    assert facts_of(Pair(), rows)["rates"] == [
        {
            "tasks_with_two": 2, "tasks_with_pair": 1, "pairs": 1,
            "pair_rate": 0.5, "pairs_per_task": 1.0,
        }
    ]  # fmt: skip


def test_pairs_per_task_are_over_the_tasks_with_a_pair() -> None:
    rows = {"task_key": [1] * 4 + [2, 2], "reward": [1.0, 0.9, 0.1, 0.0, 1.0, 0.0]}
    assert facts_of(Pair(), rows)["rates"][0]["pairs_per_task"] == 1.5


def test_what_was_compared_is_told_by_its_values() -> None:
    rows = {"task_key": [1, 1, 2, None], "reward": [1.0, 0.5, 1.0, 7.0]}
    assert facts_of(Pair(), rows)["compared"] == [{"distinct": 2, "least": 0.5, "most": 1.0}]
    assert facts_of(Pair(), {"reward": []})["compared"] == [
        {"distinct": 0, "least": None, "most": None}
    ]


def test_a_binary_reward_that_a_sum_has_rounded_is_no_graded_one() -> None:
    rows = {"task_key": [1, 1, 1], "reward": [0.7 + 0.2 + 0.1, 1.0, 0.0]}
    assert facts_of(Pair(), rows)["compared"][0]["distinct"] == 2


def test_a_task_gave_no_pair_for_want_of_values_only_where_it_has_none() -> None:
    rows = {"task_key": [1, 1, 1, 2, 2, 3, 3], "reward": [1.0, 0.0, None, 1.0, None, None, None]}
    assert facts_of(Pair(), rows)["tasks"] == [
        {"fate": "missing_reward", "tasks": 1, "rollouts": 4},
        {"fate": "only_one", "tasks": 1, "rollouts": 1},
        {"fate": "paired", "tasks": 1, "rollouts": 2},
    ]


def test_a_task_of_several_prompts_is_counted_by_the_fate_that_is_nearest_to_a_pair() -> None:
    rows = {
        "task_key": [1] * 5 + [2] * 5,
        "prompt_key": [1, 1, 2, 3, 3, 4, 4, 5, 6, 6],
        "reward": [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.9, 1.0, 1.0, 1.0],
    }
    assert facts_of(Pair(min_gap=0.5), rows)["tasks"] == [
        {"fate": "all_equal", "tasks": 0, "rollouts": 4},
        {"fate": "gap_too_small", "tasks": 1, "rollouts": 2},
        {"fate": "paired", "tasks": 1, "rollouts": 2},
        {"fate": "prompts_differ", "tasks": 0, "rollouts": 2},
    ]


def test_without_two_usable_rollouts_there_is_no_pair_rate() -> None:
    rates = facts_of(Pair(), {"reward": [1.0]})["rates"][0]
    assert (rates["pair_rate"], rates["pairs_per_task"]) == (None, None)


def test_the_facts_say_why_tasks_gave_no_pair() -> None:
    rows = {
        "task_key": [1, 1, 1, 2, 2, 3, None, None],
        "reward": [1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    }
    assert facts_of(Pair(), rows)["tasks"] == [
        {"fate": "all_equal", "tasks": 1, "rollouts": 2},
        {"fate": "only_one", "tasks": 1, "rollouts": 1},
        {"fate": "paired", "tasks": 1, "rollouts": 2},
        {"fate": "task_unclear", "tasks": 0, "rollouts": 2},
    ]


def test_no_rollouts_give_no_pairs() -> None:
    for strategy in STRATEGIES:
        assert paired(Pair(strategy=strategy), rollouts({"reward": []})) == ([], {})


# --- what is refused


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="should be one of all, best_vs_second"):
        Pair(strategy="best_vs_wurst")


@pytest.mark.parametrize(
    "values", [{"high": 0.9}, {"low": 0.1}, {"across_prompts": True, "max_pairs": 3}]
)
def test_tiers_parameters_need_the_strategy_tiers(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="need strategy: tiers"):
        Pair.model_validate(values)


@pytest.mark.parametrize("tiers", [(0.3, 0.4), ("p10", "p90"), ("p9.5", "p10")])
def test_tiers_that_overlap_are_refused(tiers: tuple[Any, Any]) -> None:
    high, low = tiers
    with pytest.raises(ValidationError, match="tiers overlap"):
        Pair(strategy="tiers", high=high, low=low)


@pytest.mark.parametrize("tiers", [("p90", "p10"), ("p10", 0.4), ("accuracy > 1", "p90")])
def test_tiers_that_only_the_data_puts_in_order_are_taken(tiers: tuple[Any, Any]) -> None:
    high, low = tiers
    assert Pair(strategy="tiers", high=high, low=low)


@pytest.mark.parametrize("strategy", ["mirrored", "best_vs_worst", "best_vs_second", "all"])
def test_parameters_can_be_read_back_from_a_manifest(strategy: str) -> None:
    params = Pair(strategy=strategy, min_gap=0.3)
    assert Pair.model_validate(params.model_dump(mode="json")) == params


@pytest.mark.parametrize("values", [{"across_prompts": True}, {"max_pairs": 3}])
def test_across_prompts_and_max_pairs_need_each_other(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="need each other"):
        Pair.model_validate({"strategy": "tiers"} | values)


def test_across_prompts_has_no_cap_a_task() -> None:
    values = {"across_prompts": True, "max_pairs": 3, "max_pairs_per_task": 1}
    with pytest.raises(ValidationError, match="takes max_pairs, not max_pairs_per_task"):
        Pair.model_validate({"strategy": "tiers"} | values)


def test_max_gap_is_not_below_min_gap() -> None:
    with pytest.raises(ValidationError, match=r"max_gap=0\.\d is below min_gap=0\.\d"):
        Pair(min_gap=0.5, max_gap=0.4)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, True, "0.2"])
@pytest.mark.parametrize("name", ["min_gap", "max_gap"])
def test_a_gap_is_a_number_from_zero_on(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Pair.model_validate({name: value})


@pytest.mark.parametrize("value", ["accuracy >", "import os", "0.7", math.nan, True])
def test_a_tier_is_a_number_a_quantile_or_an_expression(value: object) -> None:
    with pytest.raises(ValidationError, match="high"):
        Pair.model_validate({"strategy": "tiers", "high": value})


@pytest.mark.parametrize("value", [1, 0.7, "p90", "p99.9", "accuracy >= 0.8", "passed"])
def test_a_tier_can_be_said_in_three_ways(value: object) -> None:
    assert Pair.model_validate({"strategy": "tiers", "high": value}).high == value


def test_a_gap_of_a_count_has_a_sign() -> None:
    params = Pair(strategy="tiers", by="turns", high="reward > 0.5", low="reward < 0.5")
    rows = rollouts({"reward": [1.0, 0.0], "turns": [2, 4]}).cast({"turns": pl.UInt32})
    made, fates = paired(params, rows)
    assert (made, set(fates.values())) == ([], {"gap_too_small"})
    (pair,), _ = paired(params, rows.with_columns(turns=5 - pl.col("turns")))
    assert pair[2] == 2.0
