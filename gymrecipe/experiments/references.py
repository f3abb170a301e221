"""References: which versions there are, and which of them a path, an id or a name means."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import msgspec

from gymrecipe.errors import InputError, hint
from gymrecipe.experiments import manifest
from gymrecipe.names import LATEST

VERSION = re.compile(r"v[0-9]{4,254}")  # a name has at most 255 characters
TAKEN = re.compile(r"(?:\.claim-)?v([0-9]+)")
"""Whatever bears such a name, a file or a dead link too, keeps its number from new versions."""

LEDGER = "versions.jsonl"


def versions(folder: Path) -> list[Path]:
    """The version folders that have a manifest, by number. A link is not a version."""
    if not os.path.isdir(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            found = [
                folder / entry.name
                for entry in entries
                if VERSION.fullmatch(entry.name)
                and entry.is_dir(follow_symlinks=False)
                and os.path.isfile(os.path.join(entry.path, manifest.FILE))
            ]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}.") from None
    return sorted(found, key=lambda path: by_number(path.name))


def by_number(name: str) -> tuple[int, str]:
    """For the order of versions by their names."""
    return int(name[1:]), name


def tags(folder: Path) -> dict[str, str]:
    """The tags beside the versions: which version each stands for."""
    names = {version.name for version in versions(folder)}
    links = {
        name: os.readlink(folder / name)
        for name in (sorted(os.listdir(folder)) if names else [])
        if name != LATEST and os.path.islink(folder / name)
    }
    return {name: target for name, target in links.items() if target in names}


class _Id(msgspec.Struct):
    id: str


def find(folder: Path, id: str, tag: str | None = None) -> Path | None:
    """The version with this id: the one that the tag stands for, or else the newest."""
    target = tags(folder).get(tag) if tag is not None else None
    by_number = reversed(versions(folder))
    for version in sorted(by_number, key=lambda version: version.name != target):
        with suppress(OSError, *manifest.UNREADABLE):
            data = (version / manifest.FILE).read_bytes()
            if msgspec.json.decode(data, type=_Id).id == id:
                return version
    return None


def resolve(reference: str, output_dir: Path) -> Path:
    """The version folder that a path, `recipe/v0003`, `recipe/<tag>`, `recipe/latest` or `recipe`
    means. The newest version is the one with the highest number, wherever `latest` points.
    """
    for path in (Path(reference), output_dir / reference) if reference else ():
        if version := _version_at(path):
            return version
    raise InputError(_not_found(reference, output_dir))


def _version_at(path: Path) -> Path | None:
    if path.name in ("", ".."):
        path = path.resolve()
    if path.name == LATEST:
        path = path.parent
    elif os.path.islink(path):
        path = path.parent / os.readlink(path)
    if os.path.isfile(path / manifest.FILE):
        return path
    return next(reversed(versions(path)), None)


def _not_found(reference: str, output_dir: Path) -> str:
    path = Path(reference)
    said = f"{reference}: no such version."
    if reference and any(os.path.isdir(there) for there in (path, output_dir / path)):
        said = f"{reference}: not a version: it has no {manifest.FILE}."
    for folder in (path.parent, (output_dir / path).parent):
        if names := [version.name for version in versions(folder)]:
            names += tags(folder)
            return f"{said} {folder} has {_listed(names)}.{hint(path.name, names)}"
    names = os.listdir(output_dir) if os.path.isdir(output_dir) else []
    recipes = sorted(name for name in names if versions(output_dir / name))
    if not recipes:
        return f"{said} {output_dir} has no versions yet."
    return (
        f"{said} {output_dir} has versions of {_listed(recipes)}."
        f"{_in_recipe(reference, output_dir, recipes) or hint(reference.split('/')[0], recipes)}"
    )


def _in_recipe(reference: str, output_dir: Path, recipes: list[str]) -> str:
    """What is said of a bare `v0002` that some recipe has, or nothing."""
    having = [
        f"{name}/{reference}"
        for name in recipes
        if reference in [*(path.name for path in versions(output_dir / name)),
                         *tags(output_dir / name)]
    ]  # fmt: skip
    if len(having) > 1:
        return f" Name its recipe too, such as {having[-1]}."
    return f" Did you mean '{having[0]}'?" if having else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 8} others" if len(names) > 8 else ""
    return ", ".join(names[-8:]) + more
