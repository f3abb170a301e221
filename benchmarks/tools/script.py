"""What NeMo Gym's tutorial shows, mended as far as is needed to give the same rows.

    python benchmarks/tools/script.py pairs|sft|aggregate ROLLOUTS OUTPUT THRESHOLD

Mended: `response.output` for `output`, no `success`, lines that are no JSON or no rollout, rewards
that are missing, truncated rollouts, groups of any size by the prompt itself and not its `hash()`.
Not mended: every line is decoded whole and, for pairs, held in memory; `messages`, `chosen` and
`rejected` are items of the Responses API, without prompt or tools, which no trainer reads.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any


def rollouts(path: str) -> Iterator[dict[str, Any]]:
    with open(path) as file:
        for line in file:
            try:
                rollout = json.loads(line)
            except ValueError:
                continue
            if "response" in rollout:
                yield rollout


def usable(path: str) -> Iterator[dict[str, Any]]:
    for rollout in rollouts(path):
        if rollout["reward"] is not None and not rollout["response"]["incomplete_details"]:
            yield rollout


def pairs(path: str, min_gap: float) -> Iterator[dict[str, Any]]:
    task_groups: dict[str, list[dict[str, Any]]] = {}
    for rollout in usable(path):
        prompt = json.dumps(rollout["responses_create_params"]["input"])
        task_groups.setdefault(prompt, []).append(rollout)
    for task_rollouts in task_groups.values():
        task_rollouts.sort(key=lambda rollout: -rollout["reward"])
        for place in range(len(task_rollouts) // 2):
            chosen, rejected = task_rollouts[place], task_rollouts[-1 - place]
            quality_diff = chosen["reward"] - rejected["reward"]
            if quality_diff >= min_gap - 1e-9:
                yield {
                    "prompt": chosen["responses_create_params"]["input"],
                    "chosen": chosen["response"]["output"],
                    "rejected": rejected["response"]["output"],
                    "reward_chosen": chosen["reward"],
                    "reward_rejected": rejected["reward"],
                }


def filter_rollouts(path: str, filtered: str, min_reward: float) -> None:
    with open(filtered, "w") as out:
        for rollout in usable(path):
            if rollout["reward"] >= min_reward:
                out.write(json.dumps(rollout) + "\n")


def sft(path: str, min_reward: float) -> Iterator[dict[str, Any]]:
    with tempfile.NamedTemporaryFile() as filtered:
        filter_rollouts(path, filtered.name, min_reward)
        for rollout in rollouts(filtered.name):
            yield {
                "messages": rollout["response"]["output"],
                "reward": rollout["reward"],
                "task_type": rollout.get("metadata", {}).get("task_type", "general"),
            }


def aggregate(path: str, _: float) -> Iterator[dict[str, Any]]:
    values: dict[str, list[float]] = {}
    for rollout in rollouts(path):
        for name, value in rollout.items():
            if isinstance(value, (int, float)) and not name.startswith("_"):
                values.setdefault(name, []).append(value)
    for name, column in values.items():
        yield {
            "metric": name,
            "count": len(column),
            "mean": sum(column) / len(column),
            "std": statistics.stdev(column),
            "min": min(column),
            "max": max(column),
        }


if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    make = {"pairs": pairs, "sft": sft, "aggregate": aggregate}[job]
    with open(target, "w") as out:
        for row in make(source, float(threshold)):
            out.write(json.dumps(row) + "\n")
