"""Plugins: modules of others that register stages, strategies, formats and checks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points

from gymrecipe import registry
from gymrecipe.errors import RecipeError


def load(names: Sequence[str] = ()) -> None:
    """Import what is installed under the entry-point group `gymrecipe.plugins`, and these modules.

    Workers import them too, so the folder of the call stays on the path. It comes last there: a
    file of the user's hides no library. Raises RecipeError for what cannot be imported.
    """
    for entry in entry_points(group="gymrecipe.plugins"):
        _load(entry.module, f"plugin '{entry.name}' ({entry.module})")
    if names and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in names:
        said = f"--plugin {name}"
        if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
            raise RecipeError(f"{said}: not a module's name. Write it as for `import`: my_stages.")
        _load(name, said)


def _load(module: str, said: str) -> None:
    import_module("gymrecipe.planning.steps")  # ours first, so that no name of ours is taken
    try:
        import_module(module)
    except (ImportError, SyntaxError) as error:
        raise RecipeError(f"{said}: cannot be imported: {error}.") from None
    except (TypeError, ValueError) as error:  # what the registry refuses
        raise RecipeError(f"{said}: registers something wrong: {error}.") from None
    except (Exception, SystemExit) as error:  # the code of others may raise anything
        what = f"{type(error).__name__}: {error}"
        raise RecipeError(f"{said}: fails when it is imported: {what}.") from None
    registry.remember(module)
