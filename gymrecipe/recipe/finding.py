"""Finding: the files of recipes, by name or path."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from gymrecipe.errors import InputError, RecipeError, hint
from gymrecipe.guards import MAX_SIZE

_NAME = re.compile(r"[A-Za-z0-9][\w\-]{0,63}")


def shared_folder(name: str) -> Path:
    """Where `recipes` and `conf` lie: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def recipes(folders: Iterable[Path] = ()) -> dict[str, Path]:
    """The recipes by name: those that ship, then those of other folders."""
    found: dict[str, Path] = {}
    for folder in (shared_folder("recipes"), *folders):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of recipes.")
        try:
            files = [path for path in sorted(folder.glob("*.yaml")) if path.is_file()]
        except OSError as error:
            raise InputError(f"{folder}: cannot be looked into: {error.strerror}.") from None
        found |= {path.stem: path for path in files if _NAME.fullmatch(path.stem)}
    return found


def description(path: Path) -> str:
    """The comment at the head of a recipe: its command and when to use it, or that nobody may know
    it.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_SIZE)
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def locate(recipe: str, folders: Iterable[Path] = ()) -> Path:
    """The file of a recipe: a name, or a path to a `.yaml`. Raises RecipeError with a guess."""
    if recipe.endswith((".yaml", ".yml")):
        path = Path(recipe)
        try:
            is_file = path.is_file()
        except OSError as error:  # of a folder that may not be looked into
            raise RecipeError(f"recipe: {recipe}: cannot be read: {error.strerror}.") from None
        if not is_file:
            raise RecipeError(f"recipe: no such file, got '{recipe}'.{_near(path)}")
        return path
    if "," in recipe:
        raise RecipeError(
            f"recipe: several values need -m (a sweep), got '{recipe}': -m +recipe={recipe}"
        )
    known = recipes(folders)
    if not _NAME.fullmatch(recipe) or recipe not in known:
        guess = hint(recipe, known) or _near(Path(f"{recipe}.yaml"))
        raise RecipeError(
            f"recipe: no recipe is named '{recipe}'. There are {', '.join(sorted(known))};"
            f" or give the path of a .yaml file.{guess}"
        )
    return known[recipe]


def _near(path: Path) -> str:
    """Which file of its folder may be meant by the path of a recipe that is not there."""
    try:
        beside = [
            str(other) for pattern in ("*.yaml", "*.yml") for other in path.parent.glob(pattern)
        ]
    except (OSError, ValueError):  # a folder that may not be looked into, or has no such name
        return ""
    return hint(str(path), beside)
