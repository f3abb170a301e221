"""Naming: which files an `input` names."""

from __future__ import annotations

import os
import re
from glob import has_magic

from gymrecipe.errors import InputError
from gymrecipe.rollouts.files import SAMPLE, Source, open_source
from gymrecipe.rollouts.globs import matches

SIDECARS = (
    "_materialized_inputs.jsonl",
    "_failures.jsonl",
    "_reward_profiling.jsonl",
    "_rollouts_inputs.jsonl",
    "_multistage_state.jsonl",
    ".capture.jsonl",
    ".tokens.jsonl",
)
"""What NeMo Gym writes beside a rollout file: line files that hold no rollouts to train on. A line
of the last two is one model call, with a `response` as a rollout has it.
"""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+-]+:(?://|:|[a-z]+:/)|(?:data|file|mailto):")


def sources(entries: str | list[str], sidecars: bool) -> tuple[list[Source], list[str]]:
    """The files that `input` names, in order, and the sidecar files that a glob passed over.

    Each entry that has files is a run, counted from 0.
    Raises InputError for what is missing, a folder, unreadable, named twice or a sidecar.
    """
    found: list[Source] = []
    skipped: list[str] = []
    run = 0
    for entry in [entries] if isinstance(entries, str) else entries:
        before = len(found)
        for name in _names(entry):
            if is_sidecar(name) and not sidecars:
                if name == entry:
                    raise InputError(
                        f"{name}: a sidecar file that NeMo Gym writes beside its rollouts, not"
                        " rollouts. Name the rollout file, or set sidecars=true to read it anyway."
                    )
                skipped.append(name)
                continue
            found.append(open_source(name, run))
        run += len(found) > before
    seen: dict[str, str] = {}
    for source in found:
        real = os.path.realpath(source.path)
        if real in seen:
            also = "" if seen[real] == source.name else f", also as {seen[real]}"
            raise InputError(f"{source.name}: named twice by input{also}. Name each file once.")
        seen[real] = source.name
    if not found:
        what = f": {skipped[0]} and the like are sidecar files" if skipped else ""
        raise InputError(f"input: no rollout file to read{what}. Name at least one file.")
    return found, skipped


def is_sidecar(name: str) -> bool:
    """Whether it is called like a file that NeMo Gym writes beside its rollouts."""
    return name.removesuffix(".gz").removesuffix(".zst").endswith(SIDECARS)


def _names(entry: str) -> list[str]:
    if not entry or "\0" in entry:
        raise InputError(f"input: not the name of a file, got {entry!r}. Name a rollout file.")
    if is_url(entry) and entry != SAMPLE and not os.path.lexists(entry):
        raise InputError(f"{entry}: a URL. gymrecipe reads files: copy it here, and name the copy.")
    if entry == SAMPLE or os.path.lexists(entry) or not has_magic(entry):
        return [entry]
    names = matches(entry)
    if not names:
        whole = os.path.expanduser(entry)
        guess = f" Did you mean '{whole}'?" if whole != entry else ""
        raise InputError(f"{entry}: no file matches. Check the pattern and the folder.{guess}")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name!r}: a name that is not UTF-8. Rename the file.") from None
    return names


def is_url(name: str) -> bool:
    """Whether a name is a URL, or one of fsspec's chains of them, rather than a path."""
    return _URL.match(name) is not None
