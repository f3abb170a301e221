"""Verbs: what `gymrecipe VERB` does and prints."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gymrecipe.command import drawn, say
from gymrecipe.command.words import Words, at_most, taken
from gymrecipe.errors import DataError, RecipeError
from gymrecipe.report import rows


def _recipes(words: Words) -> int:
    at_most(words, 0)
    given = taken(words)
    say.answer(rows.recipes(words.config_dirs), given["json"])
    return 0


def _stages(words: Words) -> int:
    given = taken(words)
    if at_most(words, 1):
        say.answer(rows.parameters(words.arguments[0]), given["json"], drawn.parameters)
    else:
        say.answer(rows.stages(), given["json"])
    return 0


def _formats(words: Words) -> int:
    at_most(words, 0)
    given = taken(words)
    say.answer(rows.formats(), given["json"])
    return 0


def _columns(words: Words) -> int:
    given = taken(words)
    entries = [*given["input"], *words.arguments]
    found = rows.columns(entries, given["limit"], given["sidecars"])
    say.answer(found, given["json"], drawn.columns)
    return 0


def _check(words: Words) -> int:
    from gymrecipe import check
    from gymrecipe.report import checked
    from gymrecipe.report.bars import Bars

    given = taken(words)
    if len(words.arguments) != 1:
        raise RecipeError("check: write one file: check FILE format=NAME")
    (name,), tally = words.arguments, checked.Tally()
    with Bars(say.console()) as bars:
        checking = check.check(name, given["format"], given["purpose"] or None, bars.advance)
        if not given["json"]:  # which would draw between the lines of the findings
            bars.begin("checking", checking.size, "bytes")
        findings = tally.count(checking.findings)
        told = (checked.told(name, finding) for finding in findings)

        def draw(told: Iterator[checked.Told]) -> None:
            deque(told, maxlen=0)
            bars.close()
            for line in checked.findings(name, tally):
                drawn.line(line)

        say.answer(told, given["json"], draw)
    for line in checked.outcome(name, checking, tally):
        say.note(line)
    return DataError.exit_code if tally.errors else 0


def _versions(words: Words) -> int:
    given = taken(words)
    root = Path(given["output_dir"])
    if given["rebuild"]:
        return _rebuild(root, words, given["json"])
    found = rows.versions(root, words.arguments)
    if not found:
        say.note(f"no versions in {root} yet. Run a recipe: `gymrecipe recipes` lists them.")
    say.answer(found, given["json"], drawn.versions)
    return 0


def _rebuild(root: Path, words: Words, as_json: bool) -> int:
    from gymrecipe.experiments import ledger, leftovers, references

    code = 0
    for folder in leftovers.recipe_folders(root, words.arguments):
        if not references.versions(folder):
            continue
        done = ledger.rebuild(folder)
        say.answer(done, as_json, drawn.rebuilt)
        code = DataError.exit_code if done.changed else code
    return code


def _gc(words: Words) -> int:
    import time

    from gymrecipe.experiments import leftovers

    given = taken(words)
    folders = leftovers.recipe_folders(Path(given["output_dir"]), words.arguments)
    copies = [Path(given["output_jsonl_fpath"])] if given["output_jsonl_fpath"] else []
    limit, dry_run = 60.0 * given["older_than_minutes"], given["dry_run"]
    found = leftovers.collect(folders, copies, limit, time.time(), dry_run)
    say.answer(found, given["json"], lambda found: drawn.leftovers(found, dry_run))
    return 0


def _cache(words: Words) -> int:
    from gymrecipe.rollouts import cache_folder

    at_most(words, 0)
    given = taken(words)
    folder = Path(given["cache_dir"] or Path(given["output_dir"], cache_folder.FOLDER))
    if given["clear"]:
        say.answer(cache_folder.clear(folder), given["json"], drawn.cleared)
        return 0
    found = rows.kept(folder)
    if not found:
        say.note(f"{folder}: nothing is kept there.")
    say.answer(found, given["json"], drawn.kept)
    return 0


def _show(words: Words) -> int:
    from gymrecipe.experiments import manifest

    (path,), given = _version_arguments(words, 1)
    say.answer(manifest.read(path), given["json"], lambda found: drawn.shown(found, path))
    return 0


def _explain(words: Words) -> int:
    if len(words.arguments) != 2 or not all(words.arguments):
        raise RecipeError("explain: write a version and a line: explain RECIPE/v0001 a.jsonl:17")
    line = words.arguments.pop()
    (path,), given = _version_arguments(words, 1)

    from gymrecipe.report.bars import Bars
    from gymrecipe.running.progress import SILENT
    from gymrecipe.running.retrace import explain

    errors = say.console()
    with Bars(errors) as bars:
        progress = bars if errors.is_terminal else SILENT
        found = explain(path, line, progress, values=given["values"])
    say.answer(found, given["json"], drawn.explained)
    return 0


def _verify(words: Words) -> int:
    from gymrecipe.experiments.verify import verify

    (path,), given = _version_arguments(words, 1)
    found = verify(path)
    say.answer(found, given["json"], drawn.verified)
    return DataError.exit_code if found.differences else 0


def _rejects(words: Words) -> int:
    (path,), given = _version_arguments(words, 1)

    from gymrecipe.experiments import rejects

    if given["bytes"] and given["json"]:
        raise RecipeError("rejects: bytes=true gives the lines as they are; leave out json=true.")
    lines = rejects.rejects(path, given["reason"], given["stage"])
    if given["bytes"]:
        if sys.stdout.isatty():
            raise RecipeError(
                "rejects: bytes=true gives the lines as they are, which may be made to command a"
                " terminal. Write them to a file: … > lines.jsonl"
            )
        sys.stdout.flush()
        for piece in rejects.originals(path, lines):
            sys.stdout.buffer.write(piece)
        return 0
    say.answer(rejects.begun(path, lines) if given["snippet"] else lines, given["json"])
    if not lines:
        both = f"stage '{given['stage']}' rejected no line as '{given['reason']}'."
        say.note(f"{path}: {both if given['stage'] else 'every line was used.'}")
    return 0


def _reproduce(words: Words) -> int:
    from gymrecipe.report.bars import Bars
    from gymrecipe.running.reproduce import reproduce

    (path,), given = _version_arguments(words, 1)
    with Bars(say.console()) as bars:
        same = reproduce(path, bars, any_tools=given["any_tools"])
    say.answer(same, given["json"], drawn.reproduced)
    return 0


def _diff(words: Words) -> int:
    (one, other), given = _version_arguments(words, 2)

    from gymrecipe.experiments.diff import diff

    say.answer(diff(one, other), given["json"], drawn.difference)
    return 0


def _version_arguments(words: Words, count: int) -> tuple[list[Path], dict[str, Any]]:
    from gymrecipe.experiments import references

    if len(words.arguments) != count or not all(words.arguments):
        wanted = "one version" if count == 1 else f"{count} versions"
        raise RecipeError(
            f"{words.verb}: write {wanted}, such as dpo_same_prompt/v0001; `gymrecipe versions`"
            " lists them."
        )
    given = taken(words)
    return [references.resolve(word, Path(given["output_dir"])) for word in words.arguments], given


ACTIONS: dict[str, Callable[[Words], int]] = {
    "recipes": _recipes,
    "stages": _stages,
    "formats": _formats,
    "columns": _columns,
    "check": _check,
    "versions": _versions,
    "show": _show,
    "explain": _explain,
    "verify": _verify,
    "rejects": _rejects,
    "reproduce": _reproduce,
    "diff": _diff,
    "gc": _gc,
    "cache": _cache,
}
"""What each verb does; the exit code."""
