"""Version folders on disk: built in hiding, synced, renamed into place when they are whole."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from gymrecipe.errors import (
    DurabilityError,
    GymrecipeError,
    InputError,
    MachineError,
    RecipeError,
    hint,
)
from gymrecipe.experiments import manifest
from gymrecipe.rollouts.opening import regular

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_RULE = "letters, digits, '.', '_' and '-', a letter or digit first, 100 characters at most"
VERSION = re.compile(r"v[0-9]{4,254}")  # a name has at most 255 characters
TAKEN = re.compile(r"(?:\.claim-)?v([0-9]+)")
"""Whatever bears such a name, a file or a dead link too, keeps its number from new versions."""

SCRATCH = "gymrecipe-"

LATEST = "latest"
LEDGER = "versions.jsonl"

ADVICE = {
    errno.ENOSPC: "The disk is full: free some space and run again.",
    errno.EDQUOT: "The disk quota is used up: free some space and run again.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n) and run again.",
    errno.EACCES: "Check who may write there, or set another output_dir.",
    errno.EPERM: "Check who may write there, or set another output_dir.",
    errno.EROFS: "The disk is read-only: set another output_dir.",
}


OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How polars tells what the system said: in the text of an error of its own."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk into a MachineError that names this file and says what to do."""
    try:
        yield
    except GymrecipeError:
        raise
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        advice = ADVICE.get(code, "Check the disk, then run again.")
        message = f"{path}: cannot be written: {os.strerror(code)}. {advice}"
        raise MachineError(message) from None


def _code(error: Exception) -> int | None:
    """The system's number of an error; None where it was not the system that failed."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    said = OS_ERROR.search(str(error))
    return int(said[1]) if said else None


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems have nothing to sync in a folder, and say so.
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise
    finally:
        os.close(handle)


def check_folder(folder: Path) -> None:
    """Raise InputError where a file stands in the way of a recipe's folder, or where somebody else
    decides what it is: by a link of theirs, or because anybody may change a folder of theirs.
    """
    way = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if os.path.lexists(way) and not way.is_dir():
        raise InputError(f"{way}: a file, not a folder. Set another output_dir.")
    trusted = {0, os.geteuid()}
    for path in _led_through(folder, set()):
        if os.path.islink(path) and os.lstat(path).st_uid not in trusted:
            raise InputError(f"{path}: a link that another user made. Set another output_dir.")
    for path in (folder.parent, folder):
        if os.path.isdir(path) and _is_anybodys(os.stat(path)):
            raise InputError(
                f"{path}: another user's folder in which anybody may replace files. Make one of"
                " your own in it and set output_dir to that."
            )


def _is_anybodys(status: os.stat_result) -> bool:
    """Whether every user may rename and remove what is in a folder that is not ours."""
    free = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    return bool(free) and status.st_uid != os.geteuid()


def _led_through(path: Path, seen: set[Path]) -> Iterator[Path]:
    """Everything on the way to a path, and on the way to where links there lead."""
    for part in (*reversed(path.absolute().parents), path.absolute()):
        if part in seen:
            continue
        seen.add(part)
        yield part
        if os.path.islink(part):
            yield from _led_through(part.parent / os.readlink(part), seen)


def check_latest(folder: Path) -> None:
    """Raise InputError where what is named `latest` is no link, which a new version would put in
    its place.
    """
    latest = folder / LATEST
    if os.path.lexists(latest) and not latest.is_symlink():
        raise InputError(f"{latest}: not a link to the newest version, but named so. Move it away.")


def recipe_folder(output_dir: Path, name: str) -> Path:
    """The folder that keeps the versions of a recipe, made if there is none."""
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r}: not a name for a recipe's versions. Allowed: {NAME_RULE}.")
    folder = output_dir / name
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for path in missing:
                sync(path.parent)
    except MachineError:
        check_folder(folder)
        raise
    return folder


def versions(folder: Path) -> list[Path]:
    """The version folders that have a manifest, by number. A link is not a version."""
    if not os.path.isdir(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            found = [
                folder / entry.name
                for entry in entries
                if VERSION.fullmatch(entry.name)
                and entry.is_dir(follow_symlinks=False)
                and os.path.isfile(os.path.join(entry.path, manifest.FILE))
            ]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}.") from None
    return sorted(found, key=lambda path: (int(path.name[1:]), path.name))


def tags(folder: Path) -> dict[str, str]:
    """The tags beside the versions: which version each stands for."""
    names = {version.name for version in versions(folder)}
    links = {
        name: os.readlink(folder / name)
        for name in (sorted(os.listdir(folder)) if names else [])
        if name != LATEST and os.path.islink(folder / name)
    }
    return {name: target for name, target in links.items() if target in names}


class _Id(msgspec.Struct):
    id: str


def find(folder: Path, id: str) -> Path | None:
    """The newest version with this id."""
    for version in reversed(versions(folder)):
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            data = (version / manifest.FILE).read_bytes()
            if msgspec.json.decode(data, type=_Id).id == id:
                return version
    return None


def resolve(reference: str, output_dir: Path) -> Path:
    """The version folder that a path, `recipe/v0003`, `recipe/<tag>`, `recipe/latest` or `recipe`
    means. The newest version is the one with the highest number, wherever `latest` points.
    """
    for path in (Path(reference), output_dir / reference) if reference else ():
        if version := _version_at(path):
            return version
    raise InputError(_not_found(reference, output_dir))


def _version_at(path: Path) -> Path | None:
    if path.name in ("", ".."):
        path = path.resolve()
    if path.name == LATEST:
        path = path.parent
    elif os.path.islink(path):
        path = path.parent / os.readlink(path)
    if os.path.isfile(path / manifest.FILE):
        return path
    return next(reversed(versions(path)), None)


def _not_found(reference: str, output_dir: Path) -> str:
    path = Path(reference)
    for folder in (path.parent, (output_dir / path).parent):
        if names := [version.name for version in versions(folder)]:
            names += tags(folder)
            return (
                f"{reference}: no such version. {folder} has {_listed(names)}."
                f"{hint(path.name, names)}"
            )
    names = os.listdir(output_dir) if os.path.isdir(output_dir) else []
    recipes = sorted(name for name in names if versions(output_dir / name))
    if not recipes:
        return f"{reference}: no such version. {output_dir} has no versions yet."
    return (
        f"{reference}: no such version. {output_dir} has versions of {_listed(recipes)}."
        f"{hint(reference.split('/')[0], recipes)}"
    )


def _listed(names: list[str]) -> str:
    more = f"{len(names) - 8} others, " if len(names) > 8 else ""
    return more + ", ".join(names[-8:])


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the versions to build the next one in; gone at the end of the block
    unless it was published.
    """
    staged = folder / f".staging-{secrets.token_hex(8)}"
    try:  # from before it is there, so that a Ctrl-C cannot come in between
        with writing(staged):
            staged.mkdir(mode=0o700)
            lock = held(staged)
        try:
            yield staged
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what is not to be published; gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        lock = held(Path(folder))
        try:
            yield Path(folder)
        finally:
            os.close(lock)


def held(path: Path) -> int:
    """A handle on a file or folder that is locked until it is closed or its process has ended, so
    that what a killed process left behind can be told from work.
    """
    handle = os.open(path, os.O_RDONLY)
    hold(handle)
    return handle


def hold(handle: int) -> None:
    """Lock what is open, where that can be done."""
    with suppress(OSError):  # a network file system may have no locks for folders
        fcntl.flock(handle, fcntl.LOCK_EX)


def no_link(path: str, flags: int) -> int:
    """An opener for files in a recipe's folder: they are no links and no pipes."""
    return regular(path, flags | os.O_NOFOLLOW)


def publish(
    staged: Path, folder: Path, manifest_for: Callable[[str], bytes], above: int = 0
) -> Path:
    """Make the staged folder the next version, whole or not at all, and return where it is.

    Its number is the first one above all that are taken and above `above`. `manifest_for` gives the
    manifest for a version's name; it is asked again when another process took the name first.
    """
    with writing(staged):
        mode = _usual_mode(staged)
    _sync_all(staged)
    number = above
    while True:
        with writing(folder):
            number = max(number, _highest(folder)) + 1
        version = folder / f"v{number:04d}"
        data = manifest_for(version.name)
        with writing(staged / manifest.FILE):
            (staged / manifest.FILE).write_bytes(data)
            sync(staged / manifest.FILE)
            staged.chmod(mode)
            sync(staged)
        with writing(version):
            try:
                _rename_new(staged, version)
            except FileExistsError:
                continue
        break
    with _confirmed(version):
        sync(folder)
    return version


@contextmanager
def _confirmed(version: Path) -> Iterator[None]:
    """Lets an error of the disk say that the version is there."""
    try:
        yield
    except OSError as error:
        raise DurabilityError(
            f"{version} is published, but the disk did not confirm it: {error.strerror}"
            f" ({error.filename or version.parent}). Check the disk, then `verify` the version."
        ) from None


@contextmanager
def beside(version: Path) -> Iterator[None]:
    """Lets an error about what is made beside a version say that the version is there."""
    try:
        yield
    except (MachineError, RecipeError) as error:
        raise type(error)(f"{version} is published, but {error}") from None


def _usual_mode(folder: Path) -> int:
    # What mkdir gives here: 0777 & ~umask, which cannot be asked for without changing it.
    probe = folder / ".mode"
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    return mode


def _sync_all(path: Path) -> None:
    with writing(path):
        if path.is_dir():
            for child in path.iterdir():
                _sync_all(child)
        sync(path)


def _highest(folder: Path) -> int:
    """The highest number that is taken: by a name, or by what a tag or `latest` stands for, which
    would otherwise stand for another version once that one was deleted.
    """
    with os.scandir(folder) as entries:
        names = [name for entry in entries for name in (entry.name, _stands_for(entry))]
    matches = map(TAKEN.fullmatch, names)
    return max((int(match[1]) for match in matches if match), default=0)


def _stands_for(entry: os.DirEntry[str]) -> str:
    with suppress(FileNotFoundError):  # the link of another process that is `latest` by now
        return os.readlink(entry) if entry.is_symlink() else ""
    return ""


def _rename_new(old: Path, new: Path) -> None:
    """Rename; raise FileExistsError, whatever it is that exists there."""
    code = _renameat2(old, new)
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        _rename_claimed(old, new)
    elif code:
        raise OSError(code, os.strerror(code), str(new))


def _renameat2(old: Path, new: Path) -> int:
    """Linux's rename that never replaces; gives its error number, 0 when it is done."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return errno.ENOSYS
    here, noreplace = -100, 1  # AT_FDCWD, RENAME_NOREPLACE
    done: int = call(here, os.fsencode(old), here, os.fsencode(new), noreplace)
    return ctypes.get_errno() if done else 0


def _rename_claimed(old: Path, new: Path) -> None:
    # Where the file system lacks that rename (NFS), whoever makes the claim file has the name.
    claim = new.with_name(f".claim-{new.name}")
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
        os.rename(old, new)
    finally:
        with suppress(OSError):
            claim.unlink()


def link_latest(folder: Path) -> None:
    """Let `latest` stand for the newest version."""
    newest = versions(folder)[-1]
    latest, link = folder / LATEST, folder / f".latest-{secrets.token_hex(8)}"
    with _confirmed(newest):
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
