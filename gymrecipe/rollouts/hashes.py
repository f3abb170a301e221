"""Hashes over columns: keys that combine, and the draw that stands in for chance.

Polars' own hash may change between its versions, so this is SplitMix64 (Steele, Lea, Flood 2014)
written out in wrapping 64-bit arithmetic.
"""

from __future__ import annotations

import polars as pl
import xxhash


def _lit(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def mix(key: pl.Expr) -> pl.Expr:
    """SplitMix64's finaliser of a UInt64 column: a bijection whose bits look random."""
    z = key.cast(pl.UInt64) + _lit(0x9E3779B97F4A7C15)
    z = (z ^ (z // _lit(2**30))) * _lit(0xBF58476D1CE4E5B9)
    z = (z ^ (z // _lit(2**27))) * _lit(0x94D049BB133111EB)
    return z ^ (z // _lit(2**31))


def combine(*keys: pl.Expr) -> pl.Expr:
    """One key of several, order counting."""
    combined = _lit(0)
    for key in keys:
        combined = mix(combined ^ mix(key))
    return combined


def uniform(key: pl.Expr, seed: int, salt: str) -> pl.Expr:
    """A number in [0, 1) from a key, the seed and what it is drawn for: 53 bits of a hash."""
    start = xxhash.xxh3_64_intdigest(f"{salt}\0{seed}".encode())
    return (mix(key ^ _lit(start)) // _lit(2**11)).cast(pl.Float64) * 2.0**-53
