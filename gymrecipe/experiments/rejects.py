"""Rejects: the lines that no example contains, and their bytes, fetched back from the inputs."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Annotated

import msgspec

from gymrecipe.errors import ChangedError, DataError, RecipeError, hint
from gymrecipe.experiments import fates, inputs, manifest
from gymrecipe.experiments.manifest import REJECTS
from gymrecipe.lazy_polars import pl
from gymrecipe.rollouts.files import Source, blocks, check_unchanged

SNIPPET_BYTES = 200

Count = Annotated[int, msgspec.Meta(ge=0)]


class Reject(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that was not used: where it is, how long, and which stage gave which reason, with
    its cause where more is known of it, and how it `begins` where that was asked for.
    """

    source: str
    line: Count
    offset: Count
    bytes: Count
    stage: str
    reason: str
    cause: str = ""
    begins: str = ""


def rejects(version: Path, reason: str = "", stage: str = "") -> list[Reject]:
    """The rejected lines of a version as they lie in its inputs; of one reason or stage if asked.

    Raises RecipeError for a reason or stage that rejected nothing.
    """
    path = version / REJECTS
    asked = {name: value for name, value in (("reason", reason), ("stage", stage)) if value}
    lines = fates.rows_of(path, Reject, *(pl.col(name) == asked[name] for name in asked))
    for column, value in asked.items() if not lines else ():
        known = sorted({getattr(line, column) for line in fates.rows_of(path, Reject)})
        if value not in known:
            raise RecipeError(
                f"{version}: no line has the {column} '{value}'. Lines have"
                f" {', '.join(known) or 'none'}.{hint(value, known)}"
            )
    return lines


def originals(version: Path, lines: list[Reject]) -> Iterator[bytes]:
    """The bytes of the lines in pieces, a line feed behind each line.

    Raises ChangedError before the first piece where an input is not what it was, and behind the
    last piece of an input that changed while it was read.
    """
    for source, of_source in _again(version, lines):
        written = 0
        for number, piece in _pieces(source, [(line.offset, line.bytes) for line in of_source]):
            yield b"\n" * (number - written) + piece
            written = number
        check_unchanged(source)
        yield b"\n" * (len(of_source) - written)


def begun(version: Path, lines: list[Reject]) -> list[Reject]:
    """The lines with the head of each as text; bytes that are none are written out as `\\xff`."""
    found = []
    for source, of_source in _again(version, lines):
        heads = [b""] * len(of_source)
        spans = [(line.offset, min(line.bytes, SNIPPET_BYTES)) for line in of_source]
        for number, piece in _pieces(source, spans):
            heads[number] += piece
        check_unchanged(source)
        found += [
            msgspec.structs.replace(line, begins=_text(head, cut=len(head) < line.bytes))
            for head, line in zip(heads, of_source, strict=True)
        ]
    return found


def _text(head: bytes, cut: bool) -> str:
    """The bytes as text, without the character that they are cut in."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    return decoder.decode(head, final=not cut)


def _again(version: Path, lines: list[Reject]) -> list[tuple[Source, list[Reject]]]:
    """The inputs that the lines are of, all of them as they were."""
    record = manifest.read(version)
    files = {file.path: file for file in record.inputs}
    groups = []
    for path, group in groupby(lines, key=lambda line: line.source):
        of_source = list(group)
        if path not in files or not _lie_apart(of_source):
            raise DataError(
                f"{version / REJECTS}: not the lines of {path} as they lie, or of no input. See"
                " what `verify` says."
            )
        source = inputs.found(files[path], record)
        inputs.check_same(source, files[path], version)
        groups.append((source, of_source))
    return groups


def _lie_apart(lines: list[Reject]) -> bool:
    """Whether each line begins behind the one before it, as `_pieces` reads them."""
    return all(one.offset + one.bytes <= other.offset for one, other in pairwise(lines))


def _pieces(source: Source, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """The bytes of each span (offset and length, in ascending order), with the span's number."""
    stream, block, start = blocks(source), b"", 0
    for number, (offset, length) in enumerate(spans):
        while length:
            while start + len(block) <= offset:
                start += len(block)
                if not (block := next(stream, b"")):
                    raise ChangedError(f"{source.name}: became shorter while it was read.")
            piece = block[offset - start : offset - start + length]
            yield number, piece
            offset, length = offset + len(piece), length - len(piece)
