"""Explained: what became of a line, as a sentence."""

from __future__ import annotations

from gymrecipe.experiments.explain import Rejected, Used


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
    said += f": {found.cause}" if found.cause else "."
    if found.parameters:
        numbers = found.resolved
        said += " Its parameters: " + ", ".join(
            f"{name}={value}" + (f" ({numbers[name]:g})" if name in numbers else "")
            for name, value in found.parameters.items()
        )
        said += "."
    return said
