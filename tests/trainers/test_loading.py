"""Files of more than 10 MB, by whose first 10 MB `datasets` decides what the rest may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

import gymrecipe

PADDING = "x" * 20_000
PLAIN = 560
"""So many rows of PADDING are more than 10 MiB."""


def rollout(asked: str, output: list[Any], reward: float, *tools: str) -> str:
    schemas = [
        {
            "type": "function",
            "name": name,
            "parameters": {"type": "object", "properties": {name: {}}},
        }
        for name in tools
    ]
    params = {"input": asked, "tools": schemas}
    line = {"responses_create_params": params, "response": {"output": output}, "reward": reward}
    return json.dumps(line)


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": text}


def acted(asked: str, reward: float, *calls: tuple[str, dict[str, Any]], thought: str = "") -> str:
    """A rollout that calls tools, one after another."""
    output: list[Any] = []
    if thought:
        summary = [{"type": "summary_text", "text": thought}]
        output.append({"type": "reasoning", "summary": summary})
    for i, (name, arguments) in enumerate(calls):
        call = {"type": "function_call", "call_id": f"c{i}", "name": name}
        output.append(call | {"arguments": json.dumps(arguments)})
        output.append({"type": "function_call_output", "call_id": f"c{i}", "output": "ok"})
    return rollout(asked, [*output, said(f"done {reward}")], reward, *(name for name, _ in calls))


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain answers first, then all that differs: tools, thoughts, arguments of other types."""
    path = tmp_path_factory.mktemp("late") / "rollouts.jsonl"
    lines = [
        rollout(f"{i} {PADDING}", [said(f"answer {reward}")], reward)
        for i in range(PLAIN)
        for reward in (1.0, 0.0)
    ]
    for i in range(20):
        for reward in (1.0, 0.0):
            lines += [
                acted(f"a{i}", reward, ("f", {"x": 1})),
                acted(f"b{i}", reward, ("g", {"x": "1", "y": None}), ("f", {})),
                acted(f"c{i}", reward, ("h", {"x": [1, {"z": "2024-01-01"}]}), thought="Hm."),
            ]
    path.write_text("\n".join(lines) + "\n")
    return path


STAGES = {
    "sft": [],
    "dpo": ["pair: {use: pair, strategy: best_vs_worst, min_gap: 0.5}"],
    "kto": ["label: {use: label, high: 0.7, low: 0.4}"],
    "rl": ["tasks: {use: tasks}"],
}


@pytest.mark.parametrize("knobs", [{}, {"shard_rows": 300, "validation_fraction": 0.2}], ids=str)
@pytest.mark.parametrize(
    ("format", "purpose"),
    [
        ("trl", "sft"),
        ("trl_prompt_completion", "sft"),
        ("trl", "dpo"),
        ("trl", "kto"),
        ("trl", "rl"),
        ("messages", "sft"),
        ("nemo_rl", "dpo"),
    ],
)
def test_what_datasets_loads_is_what_the_file_says(
    format: str, purpose: str, knobs: dict[str, Any], late: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    write = f"write: {{use: write, purpose: {purpose}, format: {format}}}"
    stages = ["load: {use: load, input: '${input}'}", *STAGES[purpose], write]
    recipe.write_text("stages:\n" + "".join(f"  {stage}\n" for stage in stages))
    version = gymrecipe.run(recipe, input=str(late), output_dir=str(tmp_path / "out"), **knobs)
    assert version.path is not None
    files = {
        split: sorted(str(path) for path in (version.path / "data").glob(f"{split}*.jsonl"))
        for split in ("train", "validation")
    }
    files = {split: paths for split, paths in files.items() if paths}
    loaded = load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    for split, paths in files.items():
        lines = [line for path in paths for line in Path(path).read_text().splitlines()]
        assert [json.loads(line) for line in lines] == list(loaded[split])
