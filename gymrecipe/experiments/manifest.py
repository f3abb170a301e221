"""The manifest: everything needed to explain a version and to make it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gymrecipe.errors import DataError, InputError

SCHEMA = 1
FILE = "manifest.json"

REJECTS, USED = "rejects.parquet", "used.parquet"
"""The records of where every line ended."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a record raises that is none, of a text that is none, or nested too deep."""


class Lines(msgspec.Struct, frozen=True):
    """Where every line read ended: `read == used + rejected`."""

    read: int
    used: int
    rejected: int


class Input(msgspec.Struct, frozen=True):
    """One input file as it was read.

    `run` is the entry of `input` it came by; `bytes` is how many of its (uncompressed) bytes were
    read; `digest` the SHA-256 of the SHA-256s of its 8 MiB blocks, as they were read (`digest_from`
    is `file`) or as an earlier run had read them (`cache`). `holds` is `tasks` for a file of input
    rows.
    """

    path: str
    run: int
    bytes: int
    lines: int
    digest: str
    holds: str = "rollouts"
    digest_from: str = "file"


class Output(msgspec.Struct, frozen=True):
    """One file of the version: its path there, rows (0 for texts), bytes and SHA-256."""

    path: str
    rows: int
    bytes: int
    sha256: str


class StageRecord(msgspec.Struct, frozen=True):
    """What one stage did. `rejected` counts, in the stage's own unit, by reason; a write has the
    version of its format, and where it renders the digest of the chat template. `changed` names
    the parameters that are not the stage's defaults.
    """

    name: str
    use: str
    version: int
    takes: str
    makes: str
    source: str
    parameters: dict[str, Any]
    rows_in: int = msgspec.field(name="in")
    rows_out: int = msgspec.field(name="out")
    rejected: dict[str, int]
    facts: dict[str, list[dict[str, Any]]]
    format_version: int | msgspec.UnsetType = msgspec.UNSET
    template: str | msgspec.UnsetType = msgspec.UNSET
    changed: list[str] = []


class Environment(msgspec.Struct, frozen=True):
    """What a run ran in: the tools, the command, the folder of the call, and the commit of the
    recipe's own folder (`git`; None outside a repository). None of it enters the version's id.
    """

    gymrecipe: str = ""
    python: str = ""
    packages: dict[str, str] = {}
    command: str = ""
    overrides: list[str] = []
    folder: str = ""
    git: dict[str, Any] | None = None
    created: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    """A version's record; `version` is empty for what was not published (`dry_run`).

    `plugins` has the digest of the code of each plugin that was loaded.
    """

    schema: int
    name: str
    version: str
    id: str
    parameters: dict[str, Any]
    stages: list[StageRecord]
    lines: Lines
    inputs: list[Input]
    outputs: list[Output]
    statistics: dict[str, Any]
    warnings: list[str]
    environment: Environment
    plugins: dict[str, str] = {}

    @property
    def rollouts(self) -> list[Input]:
        """The inputs of rollouts, and not of tasks."""
        return [file for file in self.inputs if file.holds == "rollouts"]

    @property
    def writes(self) -> list[StageRecord]:
        """The writes, in running order."""
        return [stage for stage in self.stages if stage.use == "write"]


class _Resolved(msgspec.Struct):
    parameter: str
    resolved: float


class _Facts(msgspec.Struct):
    """The one table among the facts of any stage that is relied upon where a manifest is read."""

    resolved: list[_Resolved] = []


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON with a final line feed."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read(folder: Path) -> Manifest:
    """The manifest of a version folder.

    Raises InputError where there is none, DataError where it is not one that we can read.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder}: not a version: it has no {FILE}.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        for stage in manifest.stages:
            msgspec.convert(stage.facts, _Facts)
    except UNREADABLE as error:
        raise DataError(f"{path}: not a manifest: {error}.") from None
    if manifest.schema > SCHEMA:
        raise DataError(
            f"{path}: written by a newer gymrecipe (schema {manifest.schema}; this one reads"
            f" up to {SCHEMA}). Upgrade gymrecipe."
        )
    return manifest
