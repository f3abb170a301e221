"""The environment of a run: the tools, the command, and the commit of the recipe's folder."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymrecipe
from gymrecipe.credentials import hidden
from gymrecipe.experiments.manifest import Environment
from gymrecipe.registry import PLUGINS

STATUS = (
    "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty",
)  # fmt: skip
"""Whether a submodule is another commit is seen; into it, where settings of its own are, git does
not go."""

OTHERS = ("ls-files", "--others", "--exclude-standard", ":(glob)*.y*ml")

ELSEWHERE = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX",
)  # fmt: skip
"""Variables by which git looks at another repository than that of the folder."""

PACKAGES = ("hydra-core", "msgspec", "omegaconf", "polars", "pydantic", "xxhash")
"""The packages whose versions can show in the bytes of a version."""


def environment(command: str, overrides: tuple[str, ...], recipe_folder: str) -> Environment:
    """What this run runs in."""
    return Environment(
        gymrecipe=gymrecipe.__version__,
        python=platform.python_version(),
        packages=packages(),
        command=hidden(_utf8(command)),
        overrides=[hidden(override) for override in overrides],
        folder=_utf8(os.getcwd()),
        git=_git(recipe_folder),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _utf8(text: str) -> str:
    """What the system gave us, as JSON can hold it: bytes that are no text are written out."""
    return os.fsencode(text).decode(errors="backslashreplace")


def packages() -> dict[str, str]:
    """The installed versions of PACKAGES."""
    return {name: _installed(name) for name in PACKAGES}


@cache
def _installed(name: str) -> str:
    """The version of a package, which is that of the process; empty where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def plugins() -> dict[str, str]:
    """The SHA-256 of the code of each plugin that is loaded: of its file, or where it is or lies
    in a package, of all files of that, or in an archive, of the archive. Empty where the code is
    nowhere to be read.
    """
    return {name: _code(name) for name in sorted(PLUGINS)}


def _code(module: str) -> str:
    if module == "__main__":  # no module that could be found: a script, or a session without file
        script = _on_disk(getattr(sys.modules[module], "__file__", None))
        return _digest([(script, Path("module.py"))]) if script else ""
    spec = find_spec(module)
    if spec is not None and spec.parent:
        spec = find_spec(spec.parent)
    if spec is None:
        return ""
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [
        (path, path.relative_to(folder)) for folder in folders for path in folder.rglob("*.py")
    ]
    origin = _on_disk(spec.origin)
    if origin and (not folders or not files):  # a package in an archive has folders only there
        files = [(origin, Path("module.py"))]
    return _digest(files) if files else ""


def _on_disk(name: str | None) -> Path | None:
    """The file of a module, or the archive that it is in; None of what was typed or piped in."""
    path = Path(name or "")
    return next((place for place in (path, *path.parents) if place.is_file()), None)


def _digest(files: list[tuple[Path, Path]]) -> str:
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
    here = Path(folder)
    if not folder or not any((parent / ".git").exists() for parent in (here, *here.parents)):
        return None
    try:
        with _asking(folder, "config", "--name-only", "--list") as known:
            plain = _without_filters(_said(known))
        with _asking(folder, *plain, *STATUS) as one, _asking(folder, *OTHERS) as other:
            said, new = _said(one), _said(other)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    head = next((line.split()[-1] for line in said if line.startswith("# branch.oid")), "")
    return {"commit": head, "dirty": bool(new) or any(line[:1] != "#" for line in said)}


def _without_filters(settings: list[str]) -> list[str]:
    """Words for git that switch off the programs through which a repository puts its files.

    They are commands in `.git/config`, which the folder of a stranger may bring along.
    """
    filters = {name.rpartition(".")[0] for name in settings if name.startswith("filter.")}
    if any("=" in name for name in filters):
        raise ValueError("a filter that no word for git can name")
    off = ("clean=", "smudge=", "process=", "required=false")
    return [word for name in sorted(filters) for part in off for word in ("-c", f"{name}.{part}")]


def _asking(folder: str, *words: str) -> subprocess.Popen[str]:
    """Git, asked to run nothing of the repository's own, and to fetch and write nothing; of this
    folder, whatever repository a hook of git has put into the environment.
    """
    own = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    return subprocess.Popen(
        ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", folder, *words],
        env={**own, "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        errors="replace",
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
