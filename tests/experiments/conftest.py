"""Small rollout files for the tests of versions and of the command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gymrecipe
from gymrecipe.experiments import folders, links, publishing

MISSING = object()


def rollout(prompt: str, answer: str, reward: Any = 1.0, **fields: Any) -> dict[str, Any]:
    """A line in the hand-off shape; `reward=MISSING` leaves the reward out."""
    value: dict[str, Any] = {
        "messages": [{"role": "user", "content": prompt}],
        "response": answer,
        **fields,
    }
    return value if reward is MISSING else value | {"reward": reward}


def save(path: Path, rollouts: Iterable[dict[str, Any] | bytes]) -> Path:
    """The lines as a file, bytes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        for value in rollouts
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def graded(prompts: int = 5, repeats: int = 4) -> list[dict[str, Any]]:
    """Rollouts of which every prompt gives pairs, in an order that mixes the prompts."""
    return [
        rollout(f"prompt {prompt}", f"answer {prompt} {repeat}", repeat / (repeats - 1))
        for repeat in range(repeats)
        for prompt in range(prompts)
    ]


def run(folder: Path, recipe: str | Path = "dpo_same_prompt", **knobs: Any) -> gymrecipe.Version:
    """A version below the folder."""
    return gymrecipe.run(recipe, output_dir=str(folder / "experiments"), **knobs)


def records(version: gymrecipe.Version, name: str = "train") -> list[dict[str, Any]]:
    """The rows of a jsonl file of a version; none where there is no such file."""
    assert version.path is not None
    path = version.path / "data" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def publish(folder: Path, id: str = "an id", text: str = "x") -> Path:
    """A version that was published there, by hand."""
    with folders.staging(folder) as staged:
        (staged / "data").mkdir()
        (staged / "data" / "train.jsonl").write_text(text)
        version = publishing.publish(
            staged, folder, lambda name: json.dumps({"id": id, "version": name}).encode()
        )
    links.link_latest(folder)
    return version


def hidden(folder: Path) -> list[str]:
    """What a run may leave behind."""
    return [name for name in os.listdir(folder) if name.startswith(".")]
