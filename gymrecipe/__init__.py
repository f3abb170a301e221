"""gymrecipe: declarative recipes that turn scored rollouts into versioned training datasets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymrecipe.api import run as run
    from gymrecipe.running.executor import Version as Version

# What polars frees goes back to the system at once, rather than to be had again at some time: a run
# takes turns at large columns. Its allocator reads this when polars is imported.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")

__version__ = "0.1.0"
__all__ = ["Version", "__version__", "run"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command has to start before polars is there.
    if name == "run":
        from gymrecipe.api import run

        return run
    if name == "Version":
        from gymrecipe.running.executor import Version

        return Version
    raise AttributeError(f"module 'gymrecipe' has no attribute '{name}'")
