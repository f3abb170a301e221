"""Reproduce: make a version again from its manifest alone, and compare every byte."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import msgspec

from gymrecipe.engines.local import default_workers, local
from gymrecipe.errors import ChangedError, DataError, ToolsError
from gymrecipe.experiments import folders, inputs, manifest
from gymrecipe.experiments.disk import no_link
from gymrecipe.experiments.environment import packages, plugins
from gymrecipe.experiments.manifest import Manifest, StageRecord
from gymrecipe.experiments.mapped import mapping
from gymrecipe.formats.template import Template
from gymrecipe.planning.steps import templates_of
from gymrecipe.registry import FORMATS, PLUGINS, STAGES
from gymrecipe.running.calling import in_memory
from gymrecipe.running.fold import fold
from gymrecipe.running.from_manifest import read_again, rebuilt
from gymrecipe.running.progress import SILENT, Progress
from gymrecipe.running.recording import write_records

SHOWN = 200
"""Characters of a line that differs which are shown."""


class Reproduced(msgspec.Struct, frozen=True):
    """Which version was made again, and how many files, and bytes in them, were the same."""

    version: str
    files: int
    bytes: int


def reproduce(version: Path, progress: Progress = SILENT, *, any_tools: bool = False) -> Reproduced:
    """Make the version again from its manifest and compare data and records byte by byte.

    Raises ChangedError where an input is gone or not what it was, ToolsError where the tools have
    other versions (unless `any_tools`), DataError at the first difference.
    """
    record = manifest.read(version)
    if not any_tools:
        _check_tools(version, record)
    plan = rebuilt(record)
    files = [inputs.found(file, record) for file in record.inputs]
    with in_memory(), local(default_workers()) as engine, folders.scratch() as staged:
        spill = mapping(staged)
        table = read_again(version, record, plan, files, engine, progress, spill)
        templates = templates_of(plan.steps)
        _check_templates(version, record, templates)
        folded = fold(plan, table, files, staged, engine, progress, templates, spill)
        write_records(plan, table, files, staged, folded)
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
    words = " ".join(f"--plugin {name}" for name in absent)
    load = f" Load it with {words}." if absent else ""
    if other:
        raise ToolsError(
            f"{version}: made with other tools: {'; '.join(other)}.{load} Install those, or set"
            " any_tools=true to try with these."
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
