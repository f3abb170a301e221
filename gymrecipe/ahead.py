"""Ahead: where workers come from starts while the run still imports what it needs itself."""

from __future__ import annotations

from contextlib import suppress

from gymrecipe.engines.local import default_workers, is_shared
from gymrecipe.errors import GymrecipeError
from gymrecipe.recipe.composing import Composed
from gymrecipe.rollouts.naming import sources


def start_server(composed: Composed) -> None:
    """Start the server of workers if the inputs look like work for several.

    What is wrong with the values or the machine is for the run to say.
    """
    match composed.values:
        case {"input": str() | list() as names, "engine": {"workers": int() | None as workers}}:
            with suppress(GymrecipeError, OSError, TypeError):
                files, _ = sources(names, sidecars=True)
                size = sum(file.size for file in files)
                if is_shared(size, workers or default_workers()):
                    from gymrecipe.engines import server

                    server.start()
