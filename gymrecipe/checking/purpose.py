"""Purpose: what a file is for, and in which of two forms, by the columns of its first row."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gymrecipe.checking.faults import faults
from gymrecipe.errors import hint
from gymrecipe.registry import Purpose


def guess(record: dict[str, Any], known: dict[Purpose, Any]) -> Purpose | None:
    """The purpose that this row lacks no column for, or the fewest, and that reads most of it.

    Where two read the same columns it is the one that finds nothing wrong in them. None where the
    row has no column of any. A reward beside messages does not make them a buffer; two sides beside
    them do make them a pair.
    """
    sides = {"chosen", "rejected"} <= record.keys()
    rated = [
        (
            sides and "rejected" not in form.model_fields,
            missing,
            purpose == "buffer",
            -there,
            any(faults(record, form)),
            place,
            purpose,
        )
        for place, (purpose, models) in enumerate(known.items())
        for form in forms(models)
        for missing, there in [fit(form, record)]
        if there
    ]
    return min(rated)[-1] if rated else None


def is_read(record: dict[str, Any], known: dict[Purpose, Any]) -> bool:
    """Whether some form of some purpose lacks no column of this row, reads some, and finds nothing
    wrong in them.
    """
    all_forms = (form for models in known.values() for form in forms(models))
    fits = ((form, fit(form, record)) for form in all_forms)
    return any(
        there and not missing and not any(faults(record, form)) for form, (missing, there) in fits
    )


def forms(models: Any) -> tuple[type[BaseModel], ...]:
    """The forms that a line of one purpose may have: most have one."""
    return models if isinstance(models, tuple) else (models,)


def fit(form: type[BaseModel], record: dict[str, Any]) -> tuple[int, int]:
    """How many columns are missing, and how many are there; beside a right name one that is nearly
    right is, too.
    """
    named = {info.alias or name: info for name, info in form.model_fields.items()}
    other = [name for name in record if name not in named]
    there = {name for name in named if name in record or hint(name, other)}
    needed = {name for name, info in named.items() if info.is_required()}
    return len(needed - there), len(there) if there & record.keys() else 0


def form_of(record: dict[str, Any], models: Any) -> type[BaseModel]:
    """The form that this row lacks the fewest columns for, that finds least wrong in it, and that
    reads most of it.
    """
    rated = {form: fit(form, record) for form in forms(models)}
    if len(rated) == 1:
        return next(iter(rated))
    wrong = {form: sum(1 for _ in faults(record, form)) for form in rated}
    return min(rated, key=lambda form: (rated[form][0], wrong[form], -rated[form][1]))
