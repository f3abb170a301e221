"""Check: what a trainer would make of a file that exists, whoever wrote it.

rows of the file ──┬─► the model of a line ──► what the trainer does to such a line all the same
                   ├─► what the loader infers of the first 10 MB, and how the rest fits that
                   └─► what the rows are together: columns on all of them, duplicates
"""

from __future__ import annotations

import pkgutil
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import chain
from types import ModuleType
from typing import Any

import msgspec
from pydantic import BaseModel

from gymrecipe.checking.faults import faults
from gymrecipe.checking.finding import Finding, found
from gymrecipe.checking.inferred import Loader, Loss
from gymrecipe.checking.purpose import form_of, forms, guess, is_read
from gymrecipe.checking.rows import Row, from_texts, is_parquet, rows
from gymrecipe.checking.together import Together
from gymrecipe.errors import RecipeError, hint
from gymrecipe.formats import models
from gymrecipe.formats.models.cautions import Caution
from gymrecipe.registry import FORMATS, Purpose
from gymrecipe.rollouts.bad_reasons import BAD_LINE
from gymrecipe.rollouts.engine import Advance
from gymrecipe.rollouts.files import Source, open_source
from gymrecipe.rollouts.lines import MAX_LINE_BYTES

ROLLOUTS = "rollouts"
"""The `format` that stands for what recipes read."""

ALPACA = {"instruction", "output"}
"""Columns of a form that has no model here."""


class Checking(msgspec.Struct):
    """A file that is being checked: `findings` reads it to its end, and counts `rows` meanwhile.

    `purpose` is None where the file is empty or holds rollouts; `is_told` says that it was given,
    and not guessed by the columns. `size` is how many bytes there are to read, 0
    where that is not known. `notes` are sentences about a file that was read to its end.
    """

    format: str
    purpose: Purpose | None
    is_told: bool
    size: int = 0
    findings: Iterator[Finding] = msgspec.field(default_factory=lambda: iter(()))
    rows: int = 0
    notes: list[str] = []


def check(
    name: str, format: str, purpose: str | None = None, advance: Advance = lambda count: None
) -> Checking:
    """Check a file as one of this format and purpose; by default the one that its columns fit.

    `advance` is told of the bytes that were read. Raises InputError for a file that cannot be
    read, RecipeError for another format or purpose.
    """
    if format == ROLLOUTS:
        return _of_rollouts(name, purpose, advance)
    module = model_of(format)
    known: dict[Purpose, Any] = module.LINES
    told = next((one for one in known if one == purpose), None)
    if purpose is not None and told is None:
        raise RecipeError(_no_purpose(format, purpose, known))
    source = open_source(name, 0)
    all_rows = rows(source, advance)
    head: list[Row] = []
    for row in all_rows:
        head.append(row)
        if row.record is not None:
            break
    first = head[-1].record if head else None
    if told is None and first is not None:
        told = None if first.keys() >= ALPACA else guess(first, known)
        if told is None and not _is_rollout(first):
            raise RecipeError(
                f"check: {name}: its columns do not say what it is for, got"
                f" {', '.join(first) or 'none'}. Write purpose={'|'.join(known)}.{_others(first)}"
            )
    checking = Checking(format, told, is_told=purpose is not None, size=_size(source))
    checking.findings = _findings(chain(head, all_rows), module, checking, source)
    return checking


def _others(record: dict[str, Any]) -> str:
    """Who reads such columns."""
    if record.keys() >= ALPACA:
        return (
            " These are Alpaca's: LLaMA-Factory (`formatting: alpaca`), Axolotl (`type: alpaca`)"
            " and ms-swift read them, which is not looked into here."
        )
    others = [one for one in formats() if is_read(record, model_of(one).LINES)]
    return f" Such columns are read by format={'|'.join(others)}." if others else ""


def _of_rollouts(name: str, purpose: str | None, advance: Advance) -> Checking:
    from gymrecipe.checking import rollouts

    if purpose is not None:
        raise RecipeError("check: purpose: rollouts have none yet; it is a recipe that gives it.")
    source = open_source(name, 0)
    checking = Checking(ROLLOUTS, None, is_told=False, size=_size(source))
    checking.findings = rollouts.findings(source, checking.notes, advance)
    return checking


def _size(source: Source) -> int:
    return 0 if source.compression or is_parquet(source) else source.size


def formats() -> list[str]:
    """The formats that files can be checked for."""
    import_module("gymrecipe.formats")
    there = {module.name for module in pkgutil.iter_modules(models.__path__)}
    return sorted(name for name in FORMATS if _module_name(name) in there)


def model_of(format: str) -> ModuleType:
    """The models of a format's lines. Raises RecipeError."""
    known = formats()
    if format in known:
        return import_module(f"gymrecipe.formats.models.{_module_name(format)}")
    there = f"There are {', '.join([*known, ROLLOUTS])}.{hint(format, [*known, ROLLOUTS])}"
    if not format:
        raise RecipeError(f"check: write format=NAME. {there}")
    if format in FORMATS:
        raise RecipeError(f"check: format: '{format}' has no lines of a form of its own. {there}")
    raise RecipeError(f"check: format: no format is named '{format}'. {there}")


def _module_name(format: str) -> str:
    """Formats that one trainer reads are in one file, and so are their models."""
    package, _, name = str(FORMATS[format].function.__module__).rpartition(".")
    return name if package == "gymrecipe.formats" else ""


def _no_purpose(format: str, purpose: str, known: dict[Purpose, Any]) -> str:
    advice = {str(key): f" {text}" for key, text in FORMATS[format].advice.items()}
    return (
        f"check: purpose: '{format}' has no form for '{purpose}'; it has {', '.join(known)}."
        f"{hint(purpose, known)}{advice.get(purpose, '')}"
    )


def _is_rollout(record: dict[str, Any]) -> bool:
    return "responses_create_params" in record and "response" in record


def _findings(
    all_rows: Iterable[Row], module: ModuleType, checking: Checking, source: Source
) -> Iterator[Finding]:
    parquet = is_parquet(source)
    loaders: dict[Purpose | None, str] = getattr(module, "LOADER", {})
    reads = loaders.get(checking.purpose, "datasets")
    if reads == ("lines" if parquet else "parquet"):
        is_, wants = ("parquet", "JSON lines") if parquet else ("JSON lines", "parquet")
        yield found("error", 0, f"{is_}, where the trainer reads nothing but {wants}")
    infers = reads == "datasets" and not parquet
    loader = Loader() if infers else None
    together = Together()
    form: type[BaseModel] | None = None
    for row in all_rows:
        if row.record is None:
            yield _bad(row)
            continue
        if checking.purpose is None or (form is None and _is_no_row(row.record, module, checking)):
            yield found(
                "error",
                row.line,
                "a rollout, which no trainer reads as it is. Make training rows of the file with a"
                " recipe (+recipe=NAME input=FILE), or check it with format=rollouts",
            )
            return
        checking.rows += 1
        if form is None:
            form = form_of(row.record, module.LINES[checking.purpose])
        yield from _of_row(row, form, module, checking.purpose, parquet)
        together.add(row)
        if loader is not None:
            yield from _lost(loader.add(row.line, row.data, row.record))
    if not checking.rows:
        yield found("error", 0, "no rows")
    if loader is not None:
        yield from _lost(loader.end())
    without: dict[str, str] = getattr(module, "WITHOUT", {})
    yield from together.end(checking.purpose, infers or parquet, without)


def _is_no_row(record: dict[str, Any], module: ModuleType, checking: Checking) -> bool:
    """Whether the first row is a rollout where the format has no rollouts."""
    takes = any(
        "responses_create_params" in form.model_fields
        for form in forms(module.LINES[checking.purpose])
    )
    return _is_rollout(record) and not takes


def _bad(row: Row) -> Finding:
    if row.reason == "line_too_long":
        what = f"longer than {MAX_LINE_BYTES // 2**20} MiB: not looked into"
        return found("warning", row.line, what)
    if row.data.startswith(BOM_UTF8):
        what = "a byte order mark before it, at which loaders that read lines fail. Take it out"
        return found("error", row.line, what)
    if row.reason == "blank":
        return found("error", row.line, "a blank line, at which loaders that read lines fail")
    if row.reason == "not_object" and row.data.lstrip()[:1] == b"[":
        return found("error", row.line, "a list. Write each of its objects on a line of its own")
    return found("error", row.line, f"{row.reason}: {BAD_LINE[row.reason]}")


def _lost(losses: Iterable[Loss]) -> Iterator[Finding]:
    for loss in losses:
        yield found("warning" if loss.is_mild else "error", loss.line, loss.text)


def _of_row(
    row: Row, form: type[BaseModel], module: ModuleType, purpose: Purpose, parquet: bool
) -> Iterator[Finding]:
    record = row.record or {}
    wrong = list(faults(record, form))
    if wrong and parquet and not list(faults(decoded := from_texts(record), form)):
        record, wrong = decoded, []
    for text in wrong:
        yield found("error", row.line, text)
    if row.filled:
        yield found(
            "error",
            row.line,
            f"{row.filled}: null, for a struct of parquet has the keys of all rows. Write what has"
            " keys of its own as JSON text, or the file as jsonl",
        )
    for text in () if wrong else module.traps(record, purpose):
        yield found("warning" if isinstance(text, Caution) else "error", row.line, text)
