"""Recording: the manifest of what a run made, and the files beside the data that tell of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gymrecipe.errors import RecipeError
from gymrecipe.experiments import card, disk, guides, manifest
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
from gymrecipe.running.fold import Fold
from gymrecipe.running.records import stage_record


def record(fold: Fold, id: str) -> Manifest:
    """The manifest of what was staged. Writes the records of every line, the card, the recipe and
    the guides' files beside the data.
    """
    plan, table = fold.plan, fold.table
    lines = _lines(fold)
    found = [(read, "rollouts") for read in table.read] + [(read, "tasks") for read in table.inputs]
    made = Manifest(
        schema=manifest.SCHEMA,
        name=plan.settings.name,
        version="",
        id=id,
        parameters=plan.parameters,
        stages=fold.records,
        lines=lines,
        inputs=[
            Input(file.name, file.run, read.bytes, read.lines, read.digest, holds, read.digest_from)
            for file, (read, holds) in zip(fold.files, found, strict=True)
        ],
        outputs=fold.outputs,
        statistics={**fold.statistics, "metrics": table.metrics},
        warnings=fold.warnings,
        environment=environment(plan.command, plan.overrides, plan.recipe_folder),
        plugins=plugins(),
    )
    texts = {"README.md": card.card(made), "recipe.yaml": plan.recipe_yaml}
    for stage, guide in guides.guides(made):
        inside = guides.folder_of(made, stage)
        texts |= {f"{inside}/{name}": text for name, text in guide.files.items()}
    with disk.writing(fold.staged):
        for name, text in texts.items():
            (fold.staged / name).write_text(text, encoding="utf-8")
        beside = [_output(fold.staged, name) for name in (*texts, manifest.REJECTS, manifest.USED)]
    return msgspec.structs.replace(made, outputs=[*fold.outputs, *beside])


def _lines(fold: Fold) -> Lines:
    """Where every line ended, written and counted. The counts have to add up."""
    lines = Lines(
        read=sum(read.lines for read in fold.table.read),
        used=fold.used["row"].n_unique(),
        rejected=fold.write_records(),
    )
    if lines.read == lines.used + lines.rejected:
        return lines
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
