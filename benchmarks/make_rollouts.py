"""Make rollouts of real shape for the benchmarks: seeded, several a prompt, in no order.

python benchmarks/make_rollouts.py out.jsonl --megabytes 200 --line-bytes 19000
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

REPEATS = 4
WORDS = [
    "the",
    "agent",
    "reads",
    "a",
    "page",
    "calls",
    "its",
    "tool",
    "and",
    "then",
    "answers",
    "with",
    "what",
    "it",
    "found",
    "there",
]


def text(rng: random.Random, length: int) -> str:
    """Words up to about `length` characters."""
    return " ".join(rng.choice(WORDS) for _ in range(max(length // 5, 1)))


def rollout(rng: random.Random, task: int, repeat: int, size: int) -> dict[str, object]:
    """One line of about `size` bytes: a long prompt, tools, and turns of calls and outputs."""
    prompt = text(random.Random(task), size // 6)
    tools = [
        {"type": "function", "name": name, "description": text(random.Random(name), 200),
         "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}}
        for name in ("search", "open_page", "run_python")
    ]  # fmt: skip
    output: list[dict[str, object]] = []
    turns = 5 if size > 4_000 else 1
    for turn in range(turns):
        output += [
            {"type": "reasoning", "id": f"rs_{turn}", "content": None,
             "summary": [{"type": "summary_text", "text": text(rng, size // 24)}]},
            {"type": "function_call", "call_id": f"call_{turn}", "name": "search",
             "id": f"fc_{turn}", "arguments": json.dumps({"query": text(rng, 60)})},
            {"type": "function_call_output", "call_id": f"call_{turn}",
             "output": text(rng, size // 10)},
        ]  # fmt: skip
    answer = [{"type": "output_text", "text": text(rng, size // 12), "annotations": []}]
    output.append({"type": "message", "role": "assistant", "id": "msg", "content": answer})
    reward = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0])
    return {
        "responses_create_params": {
            "input": [{"role": "user", "content": prompt, "type": "message"}],
            "tools": tools, "temperature": 1.0, "parallel_tool_calls": True, "metadata": None,
        },
        "response": {
            "id": f"resp_{task}_{repeat}", "model": "example", "object": "response",
            "output": output, "status": None, "incomplete_details": None, "error": None,
            "usage": {"input_tokens": 100, "output_tokens": size // 8, "total_tokens": size // 7},
        },
        "reward": reward, "accuracy": float(reward > 0.5), "score": rng.random(),
        "_ng_task_index": task, "_ng_rollout_index": repeat,
        "agent_ref": {"type": "responses_api_agents", "name": "agent"},
    }  # fmt: skip


def make(path: Path, megabytes: int, line_bytes: int, seed: int = 0) -> int:
    """Write about so many megabytes; the number of lines."""
    rng = random.Random(seed)
    tasks = max(megabytes * 1_000_000 // line_bytes // REPEATS, 1)
    slots = [(task, repeat) for task in range(tasks) for repeat in range(REPEATS)]
    # Completion order: repeats of a task end near each other, but not side by side.
    slots.sort(key=lambda slot: slot[0] + rng.random() * 20)
    with path.open("w", encoding="utf-8") as file:
        for task, repeat in slots:
            file.write(json.dumps(rollout(rng, task, repeat, line_bytes)) + "\n")
    return len(slots)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--line-bytes", type=int, default=19_000)
    arguments = parser.parse_args()
    print(make(arguments.path, arguments.megabytes, arguments.line_bytes), "lines")
