"""The executor: reads the inputs, folds the stages over them, and publishes the version."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from gymrecipe.errors import GymrecipeError, RecipeError
from gymrecipe.experiments import (
    folders,
    ledger,
    links,
    manifest,
    publishing,
    references,
)
from gymrecipe.experiments.export import check_export, export
from gymrecipe.experiments.inputs import check_no_versions
from gymrecipe.experiments.manifest import Manifest
from gymrecipe.experiments.mapped import mapping
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.settings import Settings
from gymrecipe.planning.steps import templates_of
from gymrecipe.rollouts.bad import TooManyBadRows
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import Source, check_unchanged
from gymrecipe.rollouts.naming import sources
from gymrecipe.rollouts.no_rollouts import check_not_empty, check_rollouts
from gymrecipe.running.calling import in_memory
from gymrecipe.running.fold import fold
from gymrecipe.running.identity import version_id
from gymrecipe.running.loading import read
from gymrecipe.running.progress import SILENT, Progress
from gymrecipe.running.recording import record, record_of_stopped
from gymrecipe.running.rehearsal import REHEARSED_BYTES, rehearse
from gymrecipe.running.usable import check_usable


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


def run(plan: Plan, engine: Map, progress: Progress = SILENT) -> Version:
    """Run a plan to a version.

    Raises the errors of `errors`; a DataError about what was found carries its `manifest`.
    """
    settings = plan.settings
    templates = templates_of(plan.steps)
    rollouts, inputs, skipped = _found(plan)
    files = [*rollouts, *inputs]
    large = sum(file.size for file in rollouts) >= REHEARSED_BYTES
    unread = rehearse(plan) if large else frozenset()
    folder = Path(settings.output_dir) / settings.name
    _check_places(settings, folder, files)
    cache = settings.cache_folder if settings.cache else None
    spill = mapping(_spilled_to(settings))
    try:
        table = read(plan, rollouts, inputs, engine, progress, unread, cache, spill)
    except TooManyBadRows as error:
        error.manifest = record_of_stopped(plan, error)
        raise
    check_rollouts(table, rollouts)
    table.warnings += skipped
    with in_memory(), ExitStack() as stack:
        id = version_id(plan, files, table, templates)
        if (known := _known(settings, folder, id)) is not None:
            return _finish(plan, folder, Version(known, manifest.read(known), existed=True))
        if settings.dry_run:
            staged = stack.enter_context(folders.scratch())
        else:
            made = folders.recipe_folder(Path(settings.output_dir), settings.name)
            folder = stack.enter_context(made)
            staged = stack.enter_context(folders.staging(folder))
        folded = fold(plan, table, files, staged, engine, progress, templates, spill)
        folded.warnings += engine.mishaps
        recorded = record(plan, table, files, staged, folded, id)
        check_usable(recorded, folded.stops)
        for file in files:
            check_unchanged(file)
        if settings.dry_run:
            return Version(None, recorded, examples=folded.examples)
        version = _publish(folder, staged, recorded)
        return _finish(plan, folder, version)


def _found(plan: Plan) -> tuple[list[Source], list[Source], list[str]]:
    """The files of rollouts, those of input rows, and a warning where sidecars are passed over.

    What is wrong with the recipe is told before what is wrong with the inputs.
    """
    load = plan.load
    try:
        rollouts, skipped = sources(load.input, load.sidecars)
        inputs = _inputs(plan, rollouts)
        check_no_versions(load.input, rollouts, Path(plan.settings.output_dir))
        check_not_empty(rollouts)
    except GymrecipeError:
        rehearse(plan)
        raise
    if not skipped:
        return rollouts, inputs, []
    others = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
    return rollouts, inputs, [f"{skipped[0]}{others}: beside the rollouts; passed over."]


def _check_places(settings: Settings, folder: Path, files: list[Source]) -> None:
    """Raise for what stands in the way of a version, or of what is asked for beside it."""
    folders.check_folder(folder)
    if not settings.dry_run:
        folders.check_can_be_made(folder)
    links.check_latest(folder)
    ledger.check(folder)
    if settings.tag is not None:
        links.check_tag_name(settings.tag)
    if settings.output_jsonl_fpath is not None:
        check_export(Path(settings.output_jsonl_fpath), folder, files)


def _known(settings: Settings, folder: Path, id: str) -> Path | None:
    """The version that has this id already, unless another one is asked for. Raises RecipeError
    where the tag is taken.
    """
    asked = not (settings.again or settings.dry_run)
    known = references.find(folder, id, settings.tag) if asked else None
    if settings.tag is not None:
        links.check_tag(folder, settings.tag, known)
    return known


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
