"""Guides: how each write of a version is loaded, as its format says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from gymrecipe.experiments.manifest import Manifest, Output, StageRecord
from gymrecipe.formats.guide import Guide, Written
from gymrecipe.planning.steps import POSSIBLE
from gymrecipe.registry import FORMATS

SPLIT = re.compile(r"(train|validation)(-\d+-of-\d+)?\.(jsonl|parquet)")


def format_of(stage: StageRecord) -> str:
    """The format that a write wrote."""
    return str(stage.parameters.get("format"))


def purpose_of(stage: StageRecord) -> str:
    """What a write is for; nothing for figures."""
    usual = POSSIBLE.get(stage.takes, ("",))[0]
    return str(stage.parameters.get("purpose") or usual)


def folder_of(manifest: Manifest, stage: StageRecord) -> str:
    """Where a write's data lie in the version."""
    return "data" if len(manifest.writes) == 1 else f"data/{stage.name}"


def files_of(manifest: Manifest, stage: StageRecord) -> dict[str, list[Output]]:
    """The data files of a write that have rows, by split."""
    splits: dict[str, list[Output]] = {}
    for output in manifest.outputs:
        path = PurePosixPath(output.path)
        split = SPLIT.fullmatch(path.name)
        if str(path.parent) == folder_of(manifest, stage) and split and output.rows:
            splits.setdefault(split[1], []).append(output)
    return splits


def guides(manifest: Manifest) -> Iterator[tuple[StageRecord, Guide]]:
    """The guide of each write whose format has one; none where every prompt was held out."""
    for stage in manifest.writes:
        format = FORMATS.get(format_of(stage))
        files = files_of(manifest, stage)
        if format is None or format.guide is None or "train" not in files:
            continue
        figures = manifest.statistics.get(stage.name, {})
        several = len(manifest.writes) > 1
        written = Written(
            purpose=purpose_of(stage),  # type: ignore[arg-type]
            name=re.sub(r"\W", "_", f"{manifest.name}_{stage.name}" if several else manifest.name),
            inside=folder_of(manifest, stage),
            files={split: [file.path for file in found] for split, found in files.items()},
            has_tools=bool(figures.get("has_tools")),
            has_reasoning=bool(figures.get("has_reasoning")),
            longest=int(figures.get("longest_record", 0)),
            arguments=tuple(stage.parameters.get("chat_template_kwargs", ())),
        )
        yield stage, format.guide(written)
