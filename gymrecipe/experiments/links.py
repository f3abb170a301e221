"""Links: `latest` and the tags, which stand for a version beside it."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from gymrecipe.errors import DurabilityError, InputError, RecipeError
from gymrecipe.experiments.disk import sync, writing
from gymrecipe.experiments.publishing import confirmed
from gymrecipe.experiments.references import LEDGER, TAKEN, versions
from gymrecipe.names import LATEST, NAME, NAME_RULE


def check_latest(folder: Path) -> None:
    """Raise InputError where what is named `latest` is no link, which a new version would put in
    its place.
    """
    latest = folder / LATEST
    if os.path.lexists(latest) and not latest.is_symlink():
        raise InputError(f"{latest}: not a link to the newest version, but named so. Move it away.")


def link_latest(folder: Path) -> None:
    """Let `latest` stand for the newest version."""
    newest = versions(folder)[-1]
    latest, link = folder / LATEST, folder / f".latest-{secrets.token_hex(8)}"
    with confirmed(newest):
        if os.path.lexists(latest) and not latest.is_symlink():
            raise FileExistsError(errno.EEXIST, "'latest' is not a link", str(latest))
        try:
            link.symlink_to(newest.name)
            link.replace(latest)
        finally:  # a Ctrl-C may come in between
            link.unlink(missing_ok=True)
        sync(folder)


def mend_latest(folder: Path) -> None:
    """Let `latest` stand for the newest version where a run died before it did. It is a hint: what
    cannot be mended stays.
    """
    with suppress(OSError, DurabilityError):
        if not os.path.lexists(folder / LATEST) or (
            os.readlink(folder / LATEST) != versions(folder)[-1].name
        ):
            link_latest(folder)


def check_tag(folder: Path, name: str, version: Path | None = None) -> None:
    """Raise RecipeError unless this tag can be set, or stands for `version` already."""
    check_tag_name(name)
    link = folder / name
    if not os.path.lexists(link):
        return
    if not link.is_symlink():
        raise RecipeError(f"tag={name}: {link} exists and is not a tag. Choose another.")
    target = os.readlink(link)
    if version is None or target != version.name:
        raise RecipeError(
            f"tag={name}: stands for {target} already, and tags do not move. Choose another, or"
            f" remove {link} first."
        )


def check_tag_name(name: str) -> None:
    """Raise RecipeError for a name that no tag can have."""
    if not NAME.fullmatch(name):
        raise RecipeError(f"tag={name!r}: not a name for a tag. Allowed: {NAME_RULE}.")
    if TAKEN.fullmatch(name.lower()) or name.lower() in (LATEST, LEDGER):
        raise RecipeError(f"tag={name}: this name is kept for gymrecipe itself. Choose another.")


def tag(folder: Path, version: Path, name: str) -> None:
    """Let `name` stand for this version: a link beside it."""
    check_tag(folder, name, version)
    with writing(folder / name):
        try:
            (folder / name).symlink_to(version.name)
            sync(folder)
        except FileExistsError:
            check_tag(folder, name, version)
