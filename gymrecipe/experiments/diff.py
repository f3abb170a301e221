"""What differs between two versions: knobs, counts, inputs; rollouts gained and lost, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from gymrecipe.errors import DataError
from gymrecipe.experiments import manifest
from gymrecipe.experiments.fates import table
from gymrecipe.experiments.manifest import REJECTS, USED, Input, Manifest
from gymrecipe.experiments.recorded import resolved
from gymrecipe.lazy_polars import pl

NOT_READ = "not read"
EXAMPLES = 5
WHERE = ["source", "line"]
PLACE = [*WHERE, "offset", "bytes"]
ROW = ["name", "key", "occurrence"]
ENDING = r"(-[0-9]+-of-[0-9]+)?[.][a-z]+$"
"""What the path of a data file has behind the name of its split."""


class Change(msgspec.Struct, frozen=True):
    """One value that differs; UNSET on the side that has no such thing."""

    name: str
    a: Any
    b: Any


class Moved(msgspec.Struct, frozen=True):
    """Rollouts that one version uses and the other does not, and where that one rejected them.

    `reason` is "not read" for lines that it did not see. `examples` are `file:line` of the version
    which uses them.
    """

    stage: str
    reason: str
    count: int
    examples: list[str]


class Rows(msgspec.Struct, frozen=True):
    """How many rows of the data files of this name, shards together, only one version has.

    A row is known by the lines that it was made of.
    """

    name: str
    gained: int
    lost: int


class Difference(msgspec.Struct, frozen=True):
    """What is in `b` and not in `a` is gained, what is in `a` and not in `b` is lost."""

    a: str
    b: str
    knobs: list[Change]
    counts: list[Change]
    inputs: list[Change]
    gained: list[Moved]
    lost: list[Moved]
    rows: list[Rows]


def diff(a: Path, b: Path) -> Difference:
    """Compare two version folders. Raises InputError or DataError where one cannot be read."""
    old, new = manifest.read(a), manifest.read(b)
    try:
        return Difference(
            a=f"{old.name}/{old.version}",
            b=f"{new.name}/{new.version}",
            knobs=[*_changes(old, new, _knobs), *_reordered(old, new)],
            counts=_changes(old, new, _counts),
            inputs=_inputs(old, new),
            gained=_moved(b, new, a, old),
            lost=_moved(a, old, b, new),
            rows=_rows(a, b),
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{a} and {b} cannot be compared: {error}. See what `verify` says about each."
        ) from None


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings under dotted names."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _knobs(version: Manifest) -> dict[str, Any]:
    stages = {
        stage.name: {"use": stage.use, "version": stage.version}
        | ({"from": stage.source} if stage.source else {})
        | stage.parameters
        | {f"{name} (resolved)": number for name, number in resolved(stage).items()}
        for stage in version.stages
    }
    return dict(flatten(version.parameters | {"stages": stages}))


def _counts(version: Manifest) -> dict[str, int]:
    counts = {f"lines.{name}": count for name, count in msgspec.to_builtins(version.lines).items()}
    for stage in version.stages:
        counts[f"stages.{stage.name}.in"] = stage.rows_in
        counts[f"stages.{stage.name}.out"] = stage.rows_out
    return counts | {output.path: output.rows for output in version.outputs}


def _changes(
    old: Manifest, new: Manifest, values: Callable[[Manifest], dict[str, Any]]
) -> list[Change]:
    a, b = values(old), values(new)
    changes = [Change(name, a.get(name, UNSET), b.get(name, UNSET)) for name in a | b]
    return [each for each in changes if (each.a, type(each.a)) != (each.b, type(each.b))]


def _reordered(old: Manifest, new: Manifest) -> Iterator[Change]:
    """The columns that both versions write, where their order is another: that of a record's keys.

    It is told apart, for whoever looks for another value finds none.
    """
    columns = {stage.name: stage.parameters.get("columns") for stage in new.stages}
    for stage in old.stages:
        a, b = stage.parameters.get("columns"), columns.get(stage.name)
        if isinstance(a, dict) and isinstance(b, dict):
            then, now = [name for name in a if name in b], [name for name in b if name in a]
            if then != now:
                yield Change(f"stages.{stage.name}.columns (in order)", then, now)


def _inputs(old: Manifest, new: Manifest) -> list[Change]:
    """Files with other content. The same content under another path is no difference."""

    def only(one: Manifest, other: Manifest) -> dict[str, Input]:
        known = {input.digest for input in other.inputs}
        return {input.path: input for input in one.inputs if input.digest not in known}

    a, b = only(old, new), only(new, old)
    return [Change(path, a.get(path, UNSET), b.get(path, UNSET)) for path in a | b]


def _moved(having: Path, used_in: Manifest, lacking: Path, read_in: Manifest) -> list[Moved]:
    used = _lines(having, used_in).filter(pl.col("reason") == "").drop("stage", "reason")
    others = _lines(lacking, read_in).drop(PLACE)
    bad = _bad(lacking, read_in, used_in)
    moved = (
        used.join(others, on=["id", "occurrence"], how="left")
        .join(bad, on=PLACE, how="left", suffix="_bad")
        .with_columns(
            stage=pl.coalesce("stage", "stage_bad", pl.lit("")),
            reason=pl.coalesce("reason", "reason_bad", pl.lit(NOT_READ)),
        )
        .filter(pl.col("reason") != "")
        .group_by("stage", "reason")
        .agg(
            count=pl.len(),
            examples=pl.format("{}:{}", *WHERE).sort_by(*WHERE).head(EXAMPLES),
        )
        .sort("count", "stage", "reason", descending=[True, False, False])
        .collect()
    )
    return [Moved(**row) for row in moved.to_dicts()]


def _lines(version: Path, record: Manifest) -> pl.LazyFrame:
    """Every rollout that a version read, with an empty `reason` where it used it.

    Equal lines have one id; `occurrence` tells them apart, in the order of the inputs whatever
    their names.
    """
    used = table(version / USED).select("id", *PLACE).unique(WHERE)
    rejects = table(version / REJECTS).filter(pl.col("id") != "")
    fates = [
        used.with_columns(stage=pl.lit(""), reason=pl.lit("")),
        rejects.select("id", *PLACE, "stage", "reason"),
    ]
    paths = pl.Series("source", [file.path for file in record.rollouts], dtype=pl.String)
    order = pl.LazyFrame(paths).with_row_index("file")
    lines = pl.concat(fates).join(order, on="source", how="left").sort("file", *WHERE).drop("file")
    return lines.with_columns(occurrence=pl.int_range(pl.len()).over("id"))


def _bad(version: Path, record: Manifest, other: Manifest) -> pl.LazyFrame:
    """The lines that were no rollouts to a version, which have no id, where another one has them.

    What a recipe asks of a line decides about that too.
    """
    same = {file.digest: file.path for file in other.rollouts}
    own = {(file.digest, file.path) for file in other.rollouts}
    moved = {
        file.path: same[file.digest]
        for file in record.rollouts
        if file.digest in same and (file.digest, file.path) not in own
    }
    bad = table(version / REJECTS).filter(pl.col("id") == "").drop("id")
    return bad.with_columns(pl.col("source").replace(moved)).unique(PLACE)  # of several copies


def _rows(a: Path, b: Path) -> list[Rows]:
    """Of each data file that differs, the rows gained and lost."""
    only_a, only_b = (
        one.join(other, on=ROW, how="anti").group_by("name").len(name)
        for one, other, name in (
            (_examples(a), _examples(b), "lost"),
            (_examples(b), _examples(a), "gained"),
        )
    )
    both = only_a.join(only_b, on="name", how="full", coalesce=True).fill_null(0).sort("name")
    return [Rows(**row) for row in both.collect().to_dicts()]


def _examples(version: Path) -> pl.LazyFrame:
    """Every row of a version's data: the file's name without shard and ending, and a key of the
    lines that it was made of. `occurrence` tells rows apart that were made of equal lines.
    """
    name = pl.col("output").str.replace(ENDING, "")
    of_side = pl.struct("side", "id").hash()
    used = table(version / USED).filter(pl.col("row").is_not_null())  # figures are of all lines
    rows = used.group_by("output", "row").agg(key=of_side.sum())
    return rows.select(name=name, key="key", occurrence=pl.int_range(pl.len()).over(name, "key"))
