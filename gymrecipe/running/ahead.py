"""Ahead: the server that workers are forked from is started while the run still imports."""

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
        case {"input": str() | list() as names, "engine": {"workers": int() | None as asked}} if (
            workers := asked or default_workers()
        ) > 1:
            with suppress(GymrecipeError, OSError, TypeError):
                files, _ = sources(names, sidecars=True)
                if is_shared(sum(file.size for file in files), workers):
                    from gymrecipe.engines import server

                    server.start()
