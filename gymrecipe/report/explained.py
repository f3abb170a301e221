"""Explained: what became of a line, as a sentence."""

from __future__ import annotations

from typing import Any

from gymrecipe.experiments.explain import Rejected, Used
from gymrecipe.report.safe import asked, compact
from gymrecipe.rollouts.figures import told_apart
from gymrecipe.stages.evidence import Evidence


def sentence(found: Rejected | Used) -> str:
    """Where a line was used, or which stage rejected it and why."""
    return _used(found) if isinstance(found, Used) else _rejected(found)


def _used(found: Used) -> str:
    where = f"{found.output}:{found.output_line}" if found.output_line else found.output
    side = f" as the {found.side} side" if found.side else ""
    against = f", held against {found.against}" if found.against else ""
    return f"{found.line}: used in {where}{side}{against}."


def _rejected(found: Rejected) -> str:
    said = f"{found.line}: rejected by stage '{found.stage}': {found.reason}"
    said += f" ({found.meaning})" if found.meaning else ""
    why = found.cause or "; ".join(map(_evidence, found.evidence))
    said += f": {why}" if why else ""
    said += "" if found.cause else "."
    if found.parameters:
        numbers = found.resolved
        said += " Its parameters: " + ", ".join(
            f"{name}={value}" + (f" ({numbers[name]:g})" if name in numbers else "")
            for name, value in found.parameters.items()
        )
        said += "."
    if found.untold:
        said += f" What it was judged by cannot be told: {found.untold}"
    return said


def _evidence(one: Evidence) -> str:
    limits = {"at least": one.least, "at most": one.most}
    asked_for = {words: limit for words, limit in limits.items() if limit is not None}
    shown = told_apart(_shown, one.value, *asked_for.values())
    said = f"{one.name} {shown(one.value)}"
    said += f" ({one.chosen} over {one.rejected})" if one.chosen else ""
    if asked_for:
        asks = " or ".join(f"{words} {shown(limit)}" for words, limit in asked_for.items())
        said += f", {asks} is asked for"
    return said


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"'{compact(value)}'" if isinstance(value, str) else asked(value)
