"""Ahead: the engine of a run, whose workers start before the run is planned."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress

from pydantic import ValidationError

from gymrecipe.engines.local import default_workers, local
from gymrecipe.errors import GymrecipeError
from gymrecipe.planning.settings import Engine
from gymrecipe.recipe.composing import Composed
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.naming import sources


def engine(composed: Composed) -> AbstractContextManager[Map]:
    """The engine that a recipe asks for. Its workers start at once if the inputs look like work for
    several: once Polars has threads, a worker is no longer forked in a moment.

    What is wrong with the values is for the plan to say, and then none start.
    """
    asked, size = Engine(workers=1), 0
    with suppress(GymrecipeError, OSError, TypeError, ValidationError):
        files, _ = sources(composed.values["input"], sidecars=True)
        asked = Engine(**composed.values["engine"])
        size = sum(file.size for file in files)
    return local(asked.workers or default_workers(), size)
