"""Help: what the command says about itself, and about a recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Any

import msgspec

from gymrecipe.command.takes import TAKES, as_text
from gymrecipe.command.words import USAGE
from gymrecipe.recipe.finding import description, recipes, shared_folder
from gymrecipe.recipe.reading import base_knobs, knobs
from gymrecipe.report.rows import shown

_COMMENT = re.compile(r"^(\w+):.*?\s#\s+(.*)$", re.MULTILINE)


class Knob(msgspec.Struct, frozen=True):
    """A knob with its value where none is given."""

    knob: str
    what_it_sets: str


def verb_help(verb: str) -> tuple[str, list[Knob]]:
    """How a verb is written and what it does, and its knobs."""
    (line,) = (line for line in USAGE.splitlines() if line.split()[:1] == [verb])
    form, _, what = line.strip().partition("  ")
    rows = [
        Knob(f"{name}={as_text(default)}", what) for name, (default, what) in TAKES[verb].items()
    ]
    return f"gymrecipe {form}: {what.strip()}", rows


def overview(folders: Iterable[Path]) -> str:
    """What gymrecipe is, the recipes, and the next command to type."""
    names = " ".join(["Recipes:", *sorted(recipes(folders))])
    return (
        f"{USAGE}\n{fill(names, 77, subsequent_indent='  ', break_on_hyphens=False)}\n"
        "\nTry this next; it runs on the rollouts that ship with gymrecipe:\n"
        "  python -m gymrecipe +recipe=dpo_same_prompt min_gap=0.3\n"
    )


def recipe_help(path: Path) -> tuple[str, list[Knob], list[Knob], str]:
    """A recipe's description, its own knobs, those it shares with all, and how to reach deeper."""
    config = shared_folder("conf") / "config.yaml"
    base = base_knobs() | {"engine.workers": None}
    here = knobs(path)
    said = {
        "engine.workers": "how many processes; null is every core it may use",
        "task_fields": "fields that tell tasks with the same prompt apart",
        **_comments(config),
        **_comments(path),
    }
    own = _rows({name: here[name] for name in here if name not in base}, said)
    shared = _rows(base | {name: here[name] for name in here if name in base}, said)
    deeper = (
        "A stage's parameter is set as stages.NAME.PARAMETER=value; a stage is taken out by"
        " ~stages.NAME and added by '+stages.NAME={use: …, after: …}'. `gymrecipe stages NAME`"
        " lists parameters, --cfg job shows the whole recipe."
    )
    return description(path), own, shared, deeper


def _comments(path: Path) -> dict[str, str]:
    return dict(_COMMENT.findall(path.read_text(encoding="utf-8")))


def _short(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _rows(values: dict[str, Any], said: dict[str, str]) -> list[Knob]:
    return [
        Knob(f"{name}={_short(shown(value))}", said.get(name, "")) for name, value in values.items()
    ]
