"""Hugging Face datasets: lines as text, decoded in `map`, for its JSON reader stops at a bad line.

    python benchmarks/tools/datasets_map.py pairs|sft|aggregate ROLLOUTS OUTPUT THRESHOLD

Items become one struct with all of their fields, so they are kept as JSON text until they are
written. There is no group-by: pairs and figures are made in Python from the mapped columns.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from datasets import Dataset, Features, Value, disable_progress_bars, load_dataset

FEATURES = Features(
    prompt=Value("string"),
    output=Value("string"),
    task_type=Value("string"),
    usable=Value("bool"),
    reward=Value("float64"),
    accuracy=Value("float64"),
    score=Value("float64"),
)


def columns(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
    rows = []
    for line in batch["text"]:
        try:
            rollout = json.loads(line)
        except ValueError:
            continue
        if "response" not in rollout:
            continue
        response = rollout["response"]
        rows.append(
            {
                "prompt": json.dumps(rollout["responses_create_params"]["input"]),
                "output": json.dumps(response["output"]),
                "task_type": rollout.get("metadata", {}).get("task_type", "general"),
                "usable": rollout["reward"] is not None and not response["incomplete_details"],
                **{name: rollout[name] for name in ("reward", "accuracy", "score")},
            }
        )
    return {name: [row[name] for row in rows] for name in FEATURES}


def rollouts(source: str, cache: str) -> Dataset:
    lines = load_dataset("text", data_files=source, split="train", cache_dir=cache)
    return lines.map(columns, batched=True, remove_columns="text", features=FEATURES)


def pairs(data: Dataset, min_gap: float) -> Iterator[dict[str, Any]]:
    groups: dict[str, list[tuple[float, int]]] = {}
    usable = data.filter(lambda usable: usable, input_columns="usable")
    for place, (prompt, reward) in enumerate(zip(usable["prompt"], usable["reward"], strict=True)):
        groups.setdefault(prompt, []).append((reward, place))
    for prompt, ranked in groups.items():
        ranked.sort(reverse=True)
        for best, worst in zip(ranked[: len(ranked) // 2], reversed(ranked), strict=False):
            if best[0] - worst[0] >= min_gap - 1e-9:
                yield {
                    "prompt": json.loads(prompt),
                    "chosen": json.loads(usable[best[1]]["output"]),
                    "rejected": json.loads(usable[worst[1]]["output"]),
                    "reward_chosen": best[0],
                    "reward_rejected": worst[0],
                }


def sft(data: Dataset, min_reward: float) -> Iterator[dict[str, Any]]:
    good = data.filter(
        lambda usable, reward: usable and reward >= min_reward, input_columns=["usable", "reward"]
    )
    for row in good:
        messages = json.loads(row["output"])
        yield {"messages": messages, "reward": row["reward"], "task_type": row["task_type"]}


def aggregate(data: Dataset, _: float) -> Iterator[dict[str, Any]]:
    for name in ("reward", "accuracy", "score"):
        values = [value for value in data[name] if value is not None]
        yield {
            "metric": name,
            "count": len(values),
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values),
            "min": min(values),
            "max": max(values),
        }


if __name__ == "__main__":
    job, source, target, threshold = sys.argv[1:]
    make = {"pairs": pairs, "sft": sft, "aggregate": aggregate}[job]
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache, open(target, "w") as out:
        for row in make(rollouts(source, cache), float(threshold)):
            out.write(json.dumps(row) + "\n")
