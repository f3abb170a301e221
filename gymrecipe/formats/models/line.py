"""Line: what the models of all lines share, and how one says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from gymrecipe.errors import hint


class Line(BaseModel):
    """A line, or a part of one: nothing is converted, and other columns may stand beside."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


_JSON_NAMES: dict[type, str] = {dict: "an object", list: "a list"}


def of_json(text: str, wanted: type = object, said: str = "JSON text") -> Any:
    """What a JSON text holds; ValueError where it is none, or holds another type than wanted."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"should be {said}") from None
    if not isinstance(value, wanted):
        raise ValueError(f"should be the JSON text of {_JSON_NAMES[wanted]}")
    return value


def refuse(found: Iterable[str]) -> None:
    """Raise for these faults, all at once, so that `check` tells each by itself."""
    if all_of_it := list(found):
        raise PydanticCustomError(
            "faults", "{said}", {"said": "; ".join(all_of_it), "faults": all_of_it}
        )


def near(name: str, known: Iterable[str]) -> str:
    """`. Did you mean 'role'?` for the nearest known name, or nothing."""
    guess = hint(name, known)
    return f".{guess}" if guess else ""
