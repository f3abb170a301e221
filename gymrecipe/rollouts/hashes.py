"""Hashes over columns: keys that combine, and the draw that stands in for chance.

Polars' own hash may change between its versions, so this is SplitMix64 (Steele, Lea, Flood 2014)
written out in wrapping 64-bit arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import xxhash

from gymrecipe.lazy_polars import pl

_INCREMENT, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

SLICE_ROWS = 2**17
"""Rows hashed at a time: each step makes a column, and those of a whole table are large."""


PART_ROWS = 2**22
"""What takes 60 bytes a row is made of about so many at a time."""


def combine(tag: int, *keys: pl.Expr) -> pl.Expr:
    """One UInt64 key of several, their order and the tag counting; null where one is null."""

    def combined(columns: Sequence[pl.Series]) -> pl.Series:
        key = _mix(columns[0] ^ _word(_mix_one(tag)))
        for column in columns[1:]:
            key = _mix(key ^ _mix(column))
        return key

    words = [key.cast(pl.UInt64) for key in keys]
    return pl.map_batches(words, _sliced(combined), return_dtype=pl.UInt64, is_elementwise=True)


def uniform(key: pl.Expr, seed: int, salt: str) -> pl.Expr:
    """A number in [0, 1) from a key, the seed and what it is drawn for: 53 bits of a hash."""
    start = _word(xxhash.xxh3_64_intdigest(f"{salt}\0{seed}".encode()))

    def drawn(columns: Sequence[pl.Series]) -> pl.Series:
        return (_mix(columns[0] ^ start) // _word(2**11)).cast(pl.Float64) * 2.0**-53

    words = [key.cast(pl.UInt64)]
    return pl.map_batches(words, _sliced(drawn), return_dtype=pl.Float64, is_elementwise=True)


Hash = Callable[[Sequence["pl.Series"]], "pl.Series"]


def _sliced(function: Hash) -> Hash:
    """The function, called with SLICE_ROWS of its columns at a time."""

    def whole(columns: Sequence[pl.Series]) -> pl.Series:
        size = max(len(column) for column in columns)
        if size <= SLICE_ROWS:
            return function(columns)
        parts = [
            function([c if len(c) == 1 else c.slice(start, SLICE_ROWS) for c in columns])
            for start in range(0, size, SLICE_ROWS)
        ]
        return pl.concat(parts, rechunk=True)

    return whole


def parts(key: str, rows: int) -> list[pl.Expr]:
    """Conditions that divide so many rows into parts by ranges of a key that is a hash. All rows of
    a key are in one part, and those without a key in the first.

    What is made of all rows at a time may not fit into memory.
    """
    count = 1 + rows // PART_ROWS
    edges = [pl.lit(2**64 * place // count, pl.UInt64) for place in range(1, count)]
    below = [(pl.col(key) < edge).fill_null(value=True) for edge in edges]
    above = [(pl.col(key) >= edge).fill_null(value=False) for edge in edges]
    return [
        low & high for low, high in zip([pl.lit(True), *above], [*below, pl.lit(True)], strict=True)
    ]


def _word(value: int) -> pl.Series:
    return pl.Series([value], dtype=pl.UInt64)


def _mix(word: pl.Series) -> pl.Series:
    """SplitMix64's finaliser: a bijection whose bits look random. Step by step on a column, for as
    an expression every `z` would stand there twice a step.
    """
    z = word + _word(_INCREMENT)
    z = (z ^ (z // _word(2**30))) * _word(_FIRST)
    z = (z ^ (z // _word(2**27))) * _word(_SECOND)
    return z ^ (z // _word(2**31))


def _mix_one(value: int) -> int:
    return int(_mix(_word(value))[0])
