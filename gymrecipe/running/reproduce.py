"""Reproduce: make a version again from its manifest alone, and compare every byte."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from gymrecipe.engines.local import default_workers, local
from gymrecipe.errors import ChangedError, DataError, InputError, RecipeError, ToolsError
from gymrecipe.experiments import folders, inputs, manifest
from gymrecipe.experiments.disk import no_link
from gymrecipe.experiments.environment import packages, plugins
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.experiments.mapped import mapping
from gymrecipe.formats.template import Template
from gymrecipe.planning import plan
from gymrecipe.planning.plan import Plan
from gymrecipe.planning.settings import Settings
from gymrecipe.planning.steps import templates
from gymrecipe.recipe.composing import HERE
from gymrecipe.registry import FORMATS, PLUGINS, STAGES
from gymrecipe.rollouts.files import Source
from gymrecipe.running.calling import in_memory
from gymrecipe.running.fold import Fold
from gymrecipe.running.loading import read
from gymrecipe.running.progress import Progress, Silent

SHOWN = 200
"""Characters of a line that differs which are shown."""


class Reproduced(msgspec.Struct, frozen=True):
    """Which version was made again, and how many files, and bytes in them, were the same."""

    version: str
    files: int
    bytes: int


def reproduce(
    version: Path, progress: Progress | None = None, *, any_tools: bool = False
) -> Reproduced:
    """Make the version again from its manifest and compare data and records byte by byte.

    Raises ChangedError where an input is gone or not what it was, ToolsError where the tools have
    other versions (unless `any_tools`), DataError at the first difference.
    """
    record = manifest.read(version)
    if not any_tools:
        _check_tools(version, record)
    rebuilt = _rebuilt(record)
    files = [inputs.found(file, record) for file in record.inputs]
    watched = progress or Silent()
    with in_memory(), local(default_workers()) as engine, folders.scratch() as staged:
        spill = mapping(staged)
        rollouts = sum(file.holds == "rollouts" for file in record.inputs)
        try:
            table = read(rebuilt, files[:rollouts], files[rollouts:], engine, watched, spill=spill)
        except (DataError, InputError, RecipeError):
            _check_inputs(version, record, files)  # what was said may be of other bytes
            raise
        for file, found in zip(record.inputs, [*table.read, *table.inputs], strict=True):
            if found.digest != file.digest:
                raise ChangedError(f"{file.path}: not what it was when {version} was made.")
        rendered_by = templates(rebuilt.steps)
        _check_templates(version, record, rendered_by)
        Fold(rebuilt, table, files, staged, engine, watched, rendered_by, spill).write_records()
        return _compare(version, staged, record)


def _check_tools(version: Path, record: Manifest) -> None:
    other = [
        *_others("", record.environment.packages, packages()),
        *_others("plugin ", record.plugins, plugins()),
    ]
    absent = [name for name in record.plugins if name not in PLUGINS and name != "__main__"]
    for stage in record.stages:
        here = STAGES[stage.use].version if stage.use in STAGES else None
        if here != stage.version:
            other.append(f"stage '{stage.use}' version {stage.version}, here {here or 'none'}")
        other += _other_format(stage)
    if other:
        raise ToolsError(
            f"{version}: made with other tools: {'; '.join(other)}."
            + (
                f" Load it with {' '.join(f'--plugin {name}' for name in absent)}."
                if absent
                else ""
            )
            + " Install those, or set any_tools=true to try with these."
        )


def _others(kind: str, then: dict[str, str], now: dict[str, str]) -> list[str]:
    return [
        f"{kind}{name} {_short(then[name])}, here {_short(now.get(name, '')) or 'none'}"
        for name in then
        if then[name] != now.get(name)
    ]


def _short(text: str) -> str:
    return text[:12] if len(text) == 64 else text  # a digest is told from another by its head


def _other_format(stage: StageRecord) -> list[str]:
    """A write's format, where it has another version here; old manifests do not say which."""
    name, then = stage.parameters.get("format"), stage.format_version
    if not isinstance(then, int) or name not in FORMATS or FORMATS[name].version == then:
        return []  # a format that is not here is told with what else is missing
    return [f"format '{name}' version {then}, here {FORMATS[name].version}"]


def _rebuilt(record: Manifest) -> Plan:
    if [stage.use for stage in record.stages[:1]] != ["load"]:
        raise DataError(
            f"{record.name}/{record.version}: its manifest begins with no stage that loads. See"
            " what `verify` says of it."
        )
    steps = [
        (stage.name, stage.use, stage.source or None, _here(stage, record))
        for stage in record.stages
    ]
    try:
        return plan.rebuild(record.parameters, steps, Settings(name=record.name))
    except (ValidationError, KeyError) as error:
        said = _first(error) if isinstance(error, ValidationError) else str(error)
        raise ToolsError(
            f"{record.name}/{record.version}: its manifest asks for what is not here: {said}. Is a"
            " plugin missing (--plugin), or was it made by another gymrecipe?"
        ) from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with parameters: which, and why."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _here(stage: StageRecord, record: Manifest) -> dict[str, Any]:
    """The parameters of a stage; of one that renders, with paths that lead to its template now."""
    if stage.parameters.get("format") != "rendered":
        return stage.parameters
    named = {name: stage.parameters[name] for name in HERE if stage.parameters.get(name)}
    return stage.parameters | {name: inputs.placed(path, record) for name, path in named.items()}


def _check_inputs(version: Path, record: Manifest, files: list[Source]) -> None:
    """Raise ChangedError for an input that is another one, as far as any of it was read."""
    for file, source in zip(record.inputs, files, strict=True):
        if file.bytes:
            inputs.check_same(source, file, version)


def _check_templates(version: Path, record: Manifest, now: dict[str, Template]) -> None:
    """Raise ChangedError for a chat template that is another one; old manifests do not say which
    it was.
    """
    for stage in record.stages:
        if isinstance(stage.template, str) and stage.template != now[stage.name].digest:
            path = stage.parameters["chat_template"] or stage.parameters["tokenizer"]
            raise ChangedError(f"{path}: not what it was when {version} was made.")


def _compare(version: Path, staged: Path, record: Manifest) -> Reproduced:
    compared = [
        output
        for output in record.outputs
        if output.path.startswith("data/") or output.path in (manifest.REJECTS, manifest.USED)
    ]
    made = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
    for output in compared:
        if output.path not in made:
            raise DataError(f"{version}: {output.path} was not made again.")
        _compare_file(version / output.path, staged / output.path)
    if extra := sorted(made - {output.path for output in compared}):
        raise DataError(f"{version}: {extra[0]} was made, which the version does not have.")
    return Reproduced(str(version), len(compared), sum(output.bytes for output in compared))


def _compare_file(then: Path, now: Path) -> None:
    try:
        with open(then, "rb", opener=no_link) as one, now.open("rb") as other:
            for number, (a, b) in enumerate(zip_longest(one, other), start=1):
                if a != b:
                    text = then.suffix == ".jsonl"
                    shown = f" Then: {_shown(a)} Now: {_shown(b)}" if text else ""
                    raise DataError(f"{then}:{number}: not the same when made again.{shown}")
    except FileNotFoundError:
        raise DataError(f"{then}: is missing from the version.") from None
    except OSError as error:
        raise DataError(
            f"{then}: not the file that was written: {error.strerror}. See what `verify` says."
        ) from None


def _shown(line: bytes | None) -> str:
    if line is None:
        return "nothing"
    return line[:SHOWN].decode(errors="replace").rstrip("\n")
