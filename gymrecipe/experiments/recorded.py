"""Recorded: what the parameters of a stage came to, as its record in a manifest tells it."""

from __future__ import annotations

from gymrecipe.experiments.manifest import StageRecord

COUNTS_WITH: dict[tuple[str, str], tuple[tuple[str, ...], str | None]] = {
    ("pair", "high"): (("strategy",), "tiers"),
    ("pair", "low"): (("strategy",), "tiers"),
    ("filter", "success_at"): (("min_success_rate", "max_success_rate"), None),
}
"""Parameters that a stage reads only beside others: `(stage, parameter): (others, value)`. One of
the others has to have the value; where that is None, any value will do."""


def resolved(stage: StageRecord) -> dict[str, float]:
    """The thresholds that were asked for as quantiles (`p90`), as the numbers that they came to."""
    return {row["parameter"]: row["resolved"] for row in stage.facts.get("resolved", [])}


def in_force(stage: StageRecord, name: str) -> bool:
    """Whether the stage read this parameter at all."""
    if (stage.use, name) not in COUNTS_WITH:
        return True
    others, wanted = COUNTS_WITH[stage.use, name]
    values = [stage.parameters.get(other) for other in others]
    return any(value is not None and wanted in (None, value) for value in values)
