"""Lazy Polars: Polars, imported when something of it is first used.

    from gymrecipe.lazy_polars import pl

Its import is a third of what a command takes that only lists, explains or refuses something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["pl"]

if TYPE_CHECKING:
    import polars as pl
else:

    class _Late:
        def __getattr__(self, name: str) -> Any:
            import polars

            value = getattr(polars, name)
            setattr(self, name, value)  # where it is found from now on, as fast as in a module
            return value

    pl = _Late()
