"""Make rollouts of real shape for the benchmarks: seeded, four of a prompt, in no order.

    python benchmarks/make_rollouts.py rollouts.jsonl --size 200MB --shape long

`long` is an agent's trajectory of 19 kB with five tool calls, `short` an answer of 1.5 kB without
tools, `tokens` a trajectory of 400 kB that is mostly token ids. Rewards have three digits and
differ within a prompt, so that every tool ranks the rollouts alike. Five lines are bad: two are cut
off, one is an error message, one has no reward, one was truncated by a token limit.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

REPEATS = 4
PLAIN = [
    "the", "agent", "reads", "a", "page", "calls", "its", "tool",
    "and", "then", "answers", "with", "what", "it", "found", "there",
]  # fmt: skip
WORDS = PLAIN * 3 + ["here:\n", "so.\n", '"page"']
"""As many line ends and quotes, which JSON escapes, as real rollouts have: 16 in 1,000 bytes."""

BEYOND_ASCII = ["café", "“so”", "→", "naïve"]
POOL_LETTERS = 1_000_000


class Shape(NamedTuple):
    """What a line is made of: its bytes, its tool calls, and the share that is token ids."""

    bytes: int
    calls: int
    token_share: float


SHAPES = {
    "long": Shape(19_000, 5, 0.0),
    "short": Shape(1_500, 0, 0.0),
    "tokens": Shape(400_000, 10, 0.8),
}


class Writer:
    """Text of a given length, cut from words that are drawn once."""

    def __init__(self, rng: Random) -> None:
        words = POOL_LETTERS // 4
        plain = " ".join(rng.choices(WORDS, k=words))
        other = " ".join(rng.choices(WORDS + BEYOND_ASCII, k=words))
        self.pools = [plain, plain, plain, other]

    def text(self, rng: Random, length: int) -> str:
        start = rng.randrange(POOL_LETTERS - length - 1)
        return rng.choice(self.pools)[start : start + length]


def rollout(
    rng: Random, writer: Writer, shape: Shape, task: int, repeat: int, reward: float
) -> dict[str, Any]:
    """One line as an agent server writes it."""
    size = int(shape.bytes * rng.uniform(0.7, 1.3) * (1 - shape.token_share)) - 1_200
    of_task = Random(task)
    prompt = f"Task {task}. {writer.text(of_task, 300)}"
    tools: list[dict[str, Any]] = []
    output: list[dict[str, Any]] = []
    if shape.calls:
        prompt += writer.text(of_task, 2_500)
        tools = [
            {"type": "function", "name": name, "description": writer.text(Random(name), 200),
             "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
             "strict": True}
            for name in ("search", "open_page", "run_python")
        ]  # fmt: skip
        size -= len(prompt) + 2_600
    part = size // (shape.calls + 1)
    for turn in range(shape.calls):
        call = f"call_{task}_{repeat}_{turn}"
        output += [
            {"type": "reasoning", "id": f"rs_{turn}", "content": None, "encrypted_content": None,
             "summary": [{"type": "summary_text", "text": writer.text(rng, part // 3)}]},
            {"type": "function_call", "call_id": call, "name": tools[turn % 3]["name"],
             "id": f"fc_{turn}", "status": "completed",
             "arguments": json.dumps({"query": writer.text(rng, 60)})},
            {"type": "function_call_output", "call_id": call, "id": None, "status": None,
             "output": writer.text(rng, part - part // 3)},
        ]  # fmt: skip
    text = f"Answer {task}-{repeat}: {writer.text(rng, max(part, 100))}"
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": None}]
    answer = {"type": "message", "role": "assistant", "id": f"msg_{task}_{repeat}",
              "status": "completed", "content": content}  # fmt: skip
    if shape.token_share:
        ids = int(shape.bytes * shape.token_share / 9)
        answer["prompt_token_ids"] = rng.choices(range(150_000), k=ids)
        answer["generation_token_ids"] = rng.choices(range(150_000), k=ids // 10)
        answer["generation_log_probs"] = [-rng.random() for _ in range(ids // 10)]
    output.append(answer)
    return {
        "responses_create_params": {
            "input": [{"role": "user", "content": prompt, "type": "message"}],
            "instructions": None, "tools": tools, "tool_choice": "auto", "temperature": 1.0,
            "top_p": 0.95, "max_output_tokens": 4096, "parallel_tool_calls": True, "metadata": None,
        },
        "response": {
            "id": f"resp_{task}_{repeat}", "created_at": 1_760_000_000.0 + task, "model": "example",
            "object": "response", "output": output, "status": "completed",
            "incomplete_details": None, "error": None,
            "usage": {"input_tokens": 900, "output_tokens": size // 4, "total_tokens": size // 3},
        },
        "reward": reward, "accuracy": float(reward > 0.5), "score": round(rng.random(), 4),
        "metadata": {"task_type": ("search", "code", "math")[task % 3]},
        "_ng_task_index": task, "_ng_rollout_index": repeat,
        "agent_ref": {"type": "responses_api_agents", "name": "agent"},
    }  # fmt: skip


def rollouts(count: int, shape: Shape, seed: int) -> Iterator[dict[str, Any]]:
    """So many of them, in the order in which agents would end: repeats near, but not in a row."""
    rng = Random(seed)
    writer = Writer(rng)
    slots = [(task, repeat) for task in range(-(-count // REPEATS)) for repeat in range(REPEATS)]
    slots.sort(key=lambda slot: slot[0] + rng.random() * 20)
    for task, repeat in slots[:count]:
        rewards = Random(task).sample(range(1001), REPEATS)
        yield rollout(rng, writer, shape, task, repeat, rewards[repeat] / 1000)


def spoil(line: dict[str, Any], fault: int) -> bytes:
    """The line with one of the five faults."""
    if fault == 2:
        return b'{"error":"the agent did not answer"}'
    if fault == 3:
        line["reward"] = None
    if fault == 4:
        line["reward"] = 1.0
        line["response"] |= {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
        }
    text = msgspec.json.encode(line)
    return text[: len(text) // 2] if fault < 2 else text


def make(path: Path, size: int, shape: str = "long", seed: int = 0, count: int = 0) -> int:
    """Write lines up to about `size` bytes, or `count` lines. Gives the number of lines."""
    count = count or max(size // SHAPES[shape].bytes, 20)
    bad = {place: fault for fault, place in enumerate(Random(seed).sample(range(count), 5))}
    with path.open("wb") as file:
        for place, line in enumerate(rollouts(count, SHAPES[shape], seed)):
            fault = bad.get(place)
            file.write(msgspec.json.encode(line) if fault is None else spoil(line, fault))
            file.write(b"\n")
    return count


def size(text: str) -> int:
    """The bytes of a size such as 228MB or 1GB."""
    if (found := re.fullmatch(r"([\d.]+) ?([kMG]?)B?", text, re.IGNORECASE)) is None:
        raise argparse.ArgumentTypeError(f"a size is written like 228MB or 1GB, not {text!r}")
    factor = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[found[2].upper()]
    return int(float(found[1]) * factor)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=size, default=size("200MB"))
    parser.add_argument("--shape", choices=SHAPES, default="long")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(make(given.path, given.size, given.shape, given.seed), "lines")
