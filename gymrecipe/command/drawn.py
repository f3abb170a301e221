"""Drawn: what verbs found, as people read it; the sentences beside it go to stderr."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gymrecipe.command import say
from gymrecipe.report import rows

if TYPE_CHECKING:
    from gymrecipe.experiments.diff import Difference
    from gymrecipe.experiments.explain import Rejected, Used
    from gymrecipe.experiments.ledger import Rebuilt
    from gymrecipe.experiments.leftovers import Leftover
    from gymrecipe.experiments.manifest import Manifest
    from gymrecipe.experiments.verify import Verified
    from gymrecipe.rollouts.cache_folder import Cleared
    from gymrecipe.running.reproduce import Reproduced


def line(text: object) -> None:
    """A sentence on stdout, there as soon as it is said."""
    print(say.safe(str(text)), flush=True)


def parameters(stage: rows.Parameters) -> None:
    print(f"{stage.stage}: {stage.what_it_does}\n")
    say.table(stage.parameters, default=rows.shown)
    for choices in (stage.strategies, stage.checks):
        if choices:
            print()
            say.table(choices)


def columns(found: rows.Columns) -> None:
    say.table(found.built_in)
    if not found.fields:
        say.note(f"built-in columns; no field is in the first {found.lines} lines.")
        return
    print()
    say.table(found.fields, for_example=" · ".join)
    say.note(
        f"built-in columns, then the fields of the first {found.lines} lines (limit={found.limit})."
    )


def versions(found: list[rows.Made]) -> None:
    say.table(
        found,
        created=lambda created: (created or "")[:16].replace("T", " "),
        overrides=shlex.join,
        error=lambda error: error and f"(manifest: {error})",
    )


def rebuilt(done: Rebuilt) -> None:
    line(f"{done.ledger}: {len(done.kept)} lines kept, {len(done.added)} added")
    for number in done.torn:
        say.note(f"{done.ledger}:{number}: torn, left out.")
    for name in done.gone:
        say.note(f"{done.ledger}: keeps its line about {name}, which is not there any more.")
    for name in done.changed:
        folder = Path(done.ledger).with_name(name)
        say.error(f"{folder}: its manifest changed since its line was written.")


def leftovers(found: Iterable[Leftover], dry_run: bool) -> None:
    from gymrecipe.report.safe import counted

    gone = 0
    for each in found:
        said = f"{each.path}: {each.what}, {counted(int(each.age_s / 60), 'minute')} old"
        if each.stays:
            say.note(f"{said}: stays, {each.stays}.")
            continue
        gone += 1
        line(f"{said}: {'would be removed' if dry_run else 'removed'}.")
    if not gone:
        say.note("nothing to take away.")


def kept(found: list[rows.Kept]) -> None:
    from gymrecipe.report.safe import size

    say.table(found, bytes=size, kept=size)


def cleared(gone: Cleared) -> None:
    from gymrecipe.report.safe import counted, size

    line(f"{gone.folder}: {counted(gone.files, 'file')} of {size(gone.bytes)} removed")


def shown(record: Manifest, version: Path) -> None:
    from gymrecipe.report.summary import summary

    summary(record, say.console(stderr=False))
    line(version)


def explained(found: list[Rejected | Used]) -> None:
    from gymrecipe.report.explained import sentence

    for each in found:
        line(sentence(each))


def verified(found: Verified) -> None:
    if not found.vouched:
        say.note(
            f"{found.folder}: no ledger has a line about it, so that the manifest vouches for"
            " itself."
        )
    for difference in found.differences:
        say.error(f"{found.folder}: {difference}")
    if not found.differences:
        recipe, _, version = found.version.rpartition("/")
        told = os.path.realpath(found.folder).endswith(f"/{found.version}")
        known = "" if told else f"{version} of {recipe}, "
        line(f"{found.folder}: {known}whole, every file as it was written")


def reproduced(same: Reproduced) -> None:
    line(f"{same.version}: made again, {same.files} files and {same.bytes} bytes are the same")


def difference(found: Difference) -> None:
    from gymrecipe.report import terminal

    terminal.difference(found, say.console(stderr=False))
