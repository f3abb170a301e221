"""The environment of a run: the tools, the command, and the commit of the recipe's folder."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymrecipe
from gymrecipe.registry import PLUGINS

PACKAGES = ("hydra-core", "msgspec", "omegaconf", "polars", "pydantic", "xxhash")
"""The packages whose versions can show in the bytes of a version."""


def environment(command: str, overrides: tuple[str, ...], recipe_folder: str) -> dict[str, Any]:
    """What the run ran in. None of it enters the version's id."""
    return {
        "gymrecipe": gymrecipe.__version__,
        "python": platform.python_version(),
        "packages": packages(),
        "command": command,
        "overrides": list(overrides),
        "folder": os.getcwd(),
        "git": _git(recipe_folder),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def packages() -> dict[str, str]:
    """The installed versions of PACKAGES."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def plugins() -> dict[str, str]:
    """The SHA-256 of the code of each plugin that is loaded: of its file, or where it is or lies
    in a package, of all files of that.
    """
    return {name: _code(name) for name in PLUGINS}


def _code(module: str) -> str:
    spec = find_spec(module)
    if spec is not None and spec.parent:
        spec = find_spec(spec.parent)
    if spec is None:
        return ""
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [
        (path, path.relative_to(folder)) for folder in folders for path in folder.rglob("*.py")
    ]
    if not folders and spec.origin:
        files = [(Path(spec.origin), Path("module.py"))]
    digest = hashlib.sha256()
    for path, name in sorted(files, key=lambda file: file[1].parts):
        data = path.read_bytes()
        digest.update(f"{name.as_posix()} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _git(folder: str) -> dict[str, Any] | None:
    """Commit and dirty flag of the folder that the recipe lies in; None outside a repository.

    Dirty is what the commit does not have: a change anywhere, or a recipe there that git ignores
    not but does not know either.
    """
    if not folder or not any((parent / ".git").exists() for parent in _upward(Path(folder))):
        return None
    try:
        with (
            _asking(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no") as one,
            _asking(folder, "ls-files", "--others", "--exclude-standard", ":(glob)*.y*ml") as other,
        ):
            said, new = _said(one), _said(other)
    except (OSError, subprocess.SubprocessError):
        return None
    head = next((line.split()[-1] for line in said if line.startswith("# branch.oid")), "")
    return {"commit": head, "dirty": bool(new) or any(line[:1] != "#" for line in said)}


def _asking(folder: str, *words: str) -> subprocess.Popen[str]:
    """Git, asked to run nothing of the repository's own and to write nothing there."""
    return subprocess.Popen(
        ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", folder, *words],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
    )  # fmt: skip


def _said(asked: subprocess.Popen[str]) -> list[str]:
    try:
        said, _ = asked.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        asked.kill()
        raise
    if asked.returncode:
        raise subprocess.CalledProcessError(asked.returncode, "git")
    return said.splitlines()


def _upward(folder: Path) -> list[Path]:
    return [folder, *folder.parents]
