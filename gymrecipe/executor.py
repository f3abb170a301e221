"""The executor: reads the inputs, folds the stages over them, and publishes the version."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from gymrecipe.calls import in_memory
from gymrecipe.engines.local import default_workers, local
from gymrecipe.errors import GymrecipeError, RecipeError
from gymrecipe.experiments import (
    card,
    disk,
    folders,
    guides,
    ledger,
    links,
    manifest,
    publishing,
    references,
)
from gymrecipe.experiments.environment import environment, plugins
from gymrecipe.experiments.export import check_export, export
from gymrecipe.experiments.inputs import check_no_versions
from gymrecipe.experiments.manifest import Environment, Input, Lines, Manifest, Output, StageRecord
from gymrecipe.experiments.mapped import mapping
from gymrecipe.fold import Fold
from gymrecipe.identity import version_id
from gymrecipe.loading import read
from gymrecipe.parameters import changed
from gymrecipe.plan import Plan
from gymrecipe.progress import Progress, Silent
from gymrecipe.registry import PLUGINS
from gymrecipe.rehearsal import REHEARSED_BYTES, rehearse
from gymrecipe.rollouts.bad import TooManyBadRows
from gymrecipe.rollouts.files import Source, check_unchanged
from gymrecipe.rollouts.naming import sources
from gymrecipe.rollouts.nothing import check_not_empty, check_rollouts
from gymrecipe.rollouts.table import Read, Table
from gymrecipe.settings import Settings
from gymrecipe.steps import templates
from gymrecipe.usable import check_usable


class Version(msgspec.Struct, frozen=True):
    """What a run made: where it is (None for a dry run) and its manifest.

    `existed` says that an earlier version has the same id, so that nothing was written;
    `examples` holds one formatted example of each write.
    """

    path: Path | None
    manifest: Manifest
    existed: bool = False
    examples: dict[str, str] = {}

    def __repr__(self) -> str:
        """Short, for a prompt: the manifest has everything."""
        rows = sum(output.rows for output in self.manifest.outputs)
        return f"Version({str(self.path or 'dry run')!r}, rows={rows})"


def run(plan: Plan, progress: Progress | None = None) -> Version:
    """Run a plan to a version.

    Raises the errors of `errors`; a DataError about what was found carries its `manifest`.
    """
    with in_memory():
        return _run(plan, progress or Silent())


def _run(plan: Plan, progress: Progress) -> Version:
    settings = plan.settings
    rendered_by = templates(plan.steps)
    try:
        files, skipped = sources(plan.load.input, plan.load.sidecars)
        inputs = _inputs(plan, files)
        check_no_versions(plan.load.input, files, Path(settings.output_dir))
        check_not_empty(files)
    except GymrecipeError:
        rehearse(plan)  # what is wrong with the recipe is told before what is with the input
        raise
    large = sum(file.size for file in files) >= REHEARSED_BYTES
    unread = rehearse(plan) if large else frozenset()
    folder = Path(settings.output_dir) / settings.name
    folders.check_folder(folder)
    if not settings.dry_run:
        folders.check_can_be_made(folder)
    links.check_latest(folder)
    ledger.check(folder)
    if settings.tag is not None:
        links.check_tag_name(settings.tag)
    if settings.output_jsonl_fpath is not None:
        check_export(Path(settings.output_jsonl_fpath), folder, [*files, *inputs])
    mishaps: list[str] = []
    workers = settings.engine.workers or default_workers()
    with local(workers, mishaps) as engine, ExitStack() as stack:
        try:
            cache = settings.cache_folder if settings.cache else None
            spill = mapping(_spilled_to(settings))
            table = read(plan, files, inputs, engine, progress, unread, cache, spill)
        except TooManyBadRows as error:
            error.manifest = _stopped(plan, error)
            raise
        check_rollouts(table, files)
        if skipped:
            others = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
            table.warnings.append(f"{skipped[0]}{others}: beside the rollouts; passed over.")
        files = [*files, *inputs]
        id = version_id(plan, files, table, rendered_by)
        known = (
            None
            if settings.again or settings.dry_run
            else references.find(folder, id, settings.tag)
        )
        if settings.tag is not None:
            links.check_tag(folder, settings.tag, known)
        if known is not None:
            return _finish(plan, folder, Version(known, manifest.read(known), existed=True))
        if settings.dry_run:
            staged = stack.enter_context(folders.scratch())
        else:
            made = folders.recipe_folder(Path(settings.output_dir), settings.name)
            folder = stack.enter_context(made)
            staged = stack.enter_context(folders.staging(folder))
        fold = Fold(plan, table, files, staged, engine, progress, rendered_by, spill)
        fold.warnings += mishaps
        record = _record(fold, id)
        check_usable(fold, record)
        for file in files:
            check_unchanged(file)
        if settings.dry_run:
            return Version(None, record, examples=fold.examples)
        version = _publish(folder, staged, record)
        return _finish(plan, folder, version)


def _spilled_to(settings: Settings) -> Path:
    """The folder of what does not fit into memory: on the disk of the cache, which need not be
    there yet; of a dry run, which leaves nothing, the temporary one.
    """
    if settings.dry_run:
        return Path(tempfile.gettempdir())
    folder = settings.cache_folder.absolute()
    return next(path for path in (folder, *folder.parents) if os.path.isdir(path))


def _inputs(plan: Plan, files: list[Source]) -> list[Source]:
    """The files of input rows: one for all rollouts, or one for each run."""
    if (given := plan.load.materialized_inputs) is None:
        return []
    found, _ = sources(given, sidecars=True)
    runs = len({file.run for file in files})
    if len(found) not in (1, runs):
        raise RecipeError(
            f"materialized_inputs: {len(found)} files for {runs} entries of input; name one for all"
            " of them, or one for each in the same order."
        )
    return found


def _reads(table: Table) -> list[tuple[Read, str]]:
    """What was read of each file, and what it holds."""
    return [(read, "rollouts") for read in table.read] + [(read, "tasks") for read in table.inputs]


def _record(fold: Fold, id: str) -> Manifest:
    """The manifest of what was staged, and the files that go with the data."""
    plan, table = fold.plan, fold.table
    rejected = fold.write_records()
    lines = Lines(
        read=sum(read.lines for read in table.read),
        used=fold.used["row"].n_unique(),
        rejected=rejected,
    )
    if lines.read != lines.used + lines.rejected:
        if PLUGINS:
            raise RecipeError(
                f"{lines.read} lines read are not {lines.used} used and {lines.rejected} rejected:"
                f" a stage of the plugins {', '.join(PLUGINS)} loses rows, where each has to go on"
                " or leave with a `reason`."
            )
        raise RuntimeError(  # an `assert` is left out by `python -O`
            f"a bug of gymrecipe; nothing is published: lines do not add up: {lines}"
        )
    record = Manifest(
        schema=manifest.SCHEMA,
        name=plan.settings.name,
        version="",
        id=id,
        parameters=plan.parameters,
        stages=fold.records,
        lines=lines,
        inputs=[
            Input(file.name, file.run, read.bytes, read.lines, read.digest, holds, read.digest_from)
            for file, (read, holds) in zip(fold.files, _reads(table), strict=True)
        ],
        outputs=fold.outputs,
        statistics={**fold.statistics, "metrics": table.metrics},
        warnings=fold.warnings,
        environment=environment(plan.command, plan.overrides, plan.recipe_folder),
        plugins=plugins(),
    )
    texts = {"README.md": card.card(record), "recipe.yaml": plan.recipe_yaml}
    for stage, guide in guides.guides(record):
        inside = guides.folder_of(record, stage)
        texts |= {f"{inside}/{name}": text for name, text in guide.files.items()}
    with disk.writing(fold.staged):
        for name, text in texts.items():
            (fold.staged / name).write_text(text, encoding="utf-8")
        beside = [_output(fold.staged, name) for name in (*texts, manifest.REJECTS, manifest.USED)]
    return msgspec.structs.replace(record, outputs=[*fold.outputs, *beside])


def _stopped(plan: Plan, error: TooManyBadRows) -> Manifest:
    """What a run found that stopped while it read, for the summary."""
    load = plan.steps[0]
    bad = sum(error.reasons.values())
    stage = StageRecord(
        name=load.name,
        use=load.stage.name,
        version=load.stage.version,
        takes=load.takes,
        makes=load.makes,
        source="",
        parameters=load.params.model_dump(mode="json"),
        changed=changed(load.params),
        rows_in=error.lines,
        rows_out=error.lines - bad,
        rejected=dict(sorted(error.reasons.items())),
        facts={},
    )
    return Manifest(
        schema=manifest.SCHEMA,
        name=plan.settings.name,
        version="",
        id="",
        parameters=plan.parameters,
        stages=[stage],
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


def _publish(folder: Path, staged: Path, record: Manifest) -> Version:
    def manifest_for(name: str) -> bytes:
        return manifest.encode(msgspec.structs.replace(record, version=name))

    path = publishing.publish(staged, folder, manifest_for, ledger.highest(folder))
    return Version(path, msgspec.structs.replace(record, version=path.name))


def _finish(plan: Plan, folder: Path, version: Version) -> Version:
    """What comes after a version: its line in the ledger, and what is asked for beside it.

    A run that finds its version there already does what one that died had left to do.
    """
    assert version.path is not None
    settings = plan.settings
    ledger.complete(version.path)
    if version.existed:
        links.mend_latest(folder)
    else:
        links.link_latest(folder)
    with publishing.beside(version.path):
        if settings.tag is not None:
            links.tag(folder, version.path, settings.tag)
        if settings.output_jsonl_fpath is not None:
            export(version.path, version.manifest, Path(settings.output_jsonl_fpath))
    return version
