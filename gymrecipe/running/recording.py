"""Recording: the manifest of what a run made, and the files beside the data that tell of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.experiments import card, disk, fates, guides, manifest
from gymrecipe.experiments.environment import environment, plugins
from gymrecipe.experiments.manifest import (
    Environment,
    Input,
    Lines,
    Manifest,
    Output,
)
from gymrecipe.planning.plan import Plan
from gymrecipe.registry import PLUGINS
from gymrecipe.rollouts.bad import TooManyBadRows
from gymrecipe.rollouts.files import Source
from gymrecipe.rollouts.table import Table
from gymrecipe.running.fold import Folded, stage_record


def record(
    plan: Plan, table: Table, files: list[Source], staged: Path, folded: Folded, id: str
) -> Manifest:
    """The manifest of what was staged. Writes the records of every line, the card, the recipe and
    the guides' files beside the data.
    """
    lines = Lines(
        read=sum(read.lines for read in table.read),
        used=folded.used["row"].n_unique(),
        rejected=write_records(plan, table, files, staged, folded),
    )
    _check_sum(lines)
    found = [(read, "rollouts") for read in table.read] + [(read, "tasks") for read in table.inputs]
    made = Manifest(
        schema=manifest.SCHEMA,
        name=plan.settings.name,
        version="",
        id=id,
        parameters=plan.parameters,
        stages=folded.records,
        lines=lines,
        inputs=[
            Input(file.name, file.run, read.bytes, read.lines, read.digest, holds, read.digest_from)
            for file, (read, holds) in zip(files, found, strict=True)
        ],
        outputs=folded.outputs,
        statistics={**folded.statistics, "metrics": table.metrics},
        warnings=folded.warnings,
        environment=environment(plan.command, plan.overrides, plan.recipe_folder),
        plugins=plugins(),
    )
    texts = {"README.md": card.card(made), "recipe.yaml": plan.recipe_yaml}
    for stage, guide in guides.guides(made):
        inside = guides.folder_of(made, stage)
        texts |= {f"{inside}/{name}": text for name, text in guide.files.items()}
    with disk.writing(staged):
        for name, text in texts.items():
            (staged / name).write_text(text, encoding="utf-8")
        beside = [_output(staged, name) for name in (*texts, manifest.REJECTS, manifest.USED)]
    return msgspec.structs.replace(made, outputs=[*folded.outputs, *beside])


def write_records(
    plan: Plan, table: Table, files: list[Source], staged: Path, folded: Folded
) -> int:
    """Write where every line ended beside the data. Gives the number of lines rejected."""
    return fates.write_records(
        staged,
        table.rows,
        table.bad,
        folded.settled,
        folded.used,
        [step.name for step in plan.steps],
        [file.name for file in files],
    )


def _check_sum(lines: Lines) -> None:
    """Raise where the counts of lines do not add up."""
    if lines.read == lines.used + lines.rejected:
        return
    if PLUGINS:
        raise RecipeError(
            f"{lines.read} lines read are not {lines.used} used and {lines.rejected} rejected:"
            f" a stage of the plugins {', '.join(PLUGINS)} loses rows, where each has to go on"
            " or leave with a `reason`."
        )
    raise RuntimeError(  # an `assert` is left out by `python -O`
        f"a bug of gymrecipe; nothing is published: lines do not add up: {lines}"
    )


def record_of_stopped(plan: Plan, error: TooManyBadRows) -> Manifest:
    """What a run found that stopped while it read: a manifest for the summary alone."""
    bad = sum(error.reasons.values())
    load = stage_record(plan.steps[0], error.lines, error.lines - bad, error.reasons, facts={})
    return Manifest(
        schema=manifest.SCHEMA,
        name=plan.settings.name,
        version="",
        id="",
        parameters=plan.parameters,
        stages=[load],
        lines=Lines(read=error.lines, used=0, rejected=bad),
        inputs=[],
        outputs=[],
        statistics={},
        warnings=[],
        environment=Environment(),
    )


def _output(folder: Path, name: str) -> Output:
    path = folder / name
    return Output(name, 0, path.stat().st_size, disk.sha256(path))
