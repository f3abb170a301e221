"""Verbs: what `gymrecipe VERB` does and prints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gymrecipe.command import say
from gymrecipe.command.takes import given as taken
from gymrecipe.command.words import Words, at_most
from gymrecipe.errors import DataError, RecipeError
from gymrecipe.report import rows


def _recipes(words: Words) -> int:
    at_most(words, 0)
    taken(words)
    say.table(rows.recipes(words.config_dirs))
    return 0


def _stages(words: Words) -> int:
    taken(words)
    if not at_most(words, 1):
        say.table(rows.stages())
        return 0
    said, parameters, choices = rows.parameters(words.arguments[0])
    print(f"{words.arguments[0]}: {said}\n")
    say.table(parameters)
    if choices:
        print()
        say.table(choices)
    return 0


def _formats(words: Words) -> int:
    at_most(words, 0)
    taken(words)
    say.table(rows.formats())
    return 0


def _columns(words: Words) -> int:
    given = taken(words)
    entries = [*given["input"], *words.arguments]
    built_in, present, read = rows.columns(entries, given["limit"], given["sidecars"])
    say.table(built_in)
    print()
    say.table(present)
    say.note(
        f"built-in columns, then the fields of the first {read} lines (limit={given['limit']})."
    )
    return 0


def _check(words: Words) -> int:
    from gymrecipe import check
    from gymrecipe.report import checked, terminal

    given = taken(words)
    if len(words.arguments) != 1:
        raise RecipeError("check: write one file: check FILE format=NAME")
    (name,), counted = words.arguments, checked.Counted()
    with terminal.Bars(say.console()) as bars:
        checking = check.check(name, given["format"], given["purpose"] or None, bars.advance)
        if not given["json"]:  # which would draw between the lines of the findings
            bars.begin("checking", checking.size, "bytes")
        for finding in counted.count(checking.findings):
            if given["json"]:
                print(checked.as_json(name, finding))
    for line in () if given["json"] else checked.findings(name, counted):
        print(say.safe(line))
    for line in checked.outcome(name, checking, counted):
        say.note(line)
    return DataError.exit_code if counted.errors else 0


def _versions(words: Words) -> int:
    given = taken(words)
    root = Path(given["output_dir"])
    if given["rebuild"]:
        return _rebuild(root, words)
    found = rows.versions(root, words.arguments)
    if not found:
        say.note(f"no versions in {root} yet. Run a recipe: `gymrecipe recipes` lists them.")
    say.table(found)
    return 0


def _rebuild(root: Path, words: Words) -> int:
    from gymrecipe.experiments import ledger, leftovers, references

    code = 0
    for folder in leftovers.recipe_folders(root, words.arguments):
        if not references.versions(folder):
            continue
        done = ledger.rebuild(folder)
        path = folder / references.LEDGER
        print(say.safe(f"{path}: {len(done.kept)} lines kept, {len(done.added)} added"))
        for number in done.torn:
            say.note(f"{path}:{number}: torn, left out.")
        for name in done.gone:
            say.note(f"{path}: keeps its line about {name}, which is not there any more.")
        for name in done.changed:
            say.error(f"{folder / name}: its manifest changed since its line was written.")
            code = DataError.exit_code
    return code


def _gc(words: Words) -> int:
    import time

    from gymrecipe.experiments import leftovers
    from gymrecipe.report.safe import counted

    given = taken(words)
    folders = leftovers.recipe_folders(Path(given["output_dir"]), words.arguments)
    copies = [Path(given["output_jsonl_fpath"])] if given["output_jsonl_fpath"] else []
    limit, dry_run = 60.0 * given["older_than_minutes"], given["dry_run"]
    gone = 0
    for found in leftovers.collect(folders, copies, limit, time.time(), dry_run):
        said = f"{found.path}: {found.what}, {counted(int(found.age_s / 60), 'minute')} old"
        if found.stays:
            say.note(f"{said}: stays, {found.stays}.")
            continue
        gone += 1
        print(say.safe(f"{said}: {'would be removed' if dry_run else 'removed'}."), flush=True)
    if not gone:
        say.note("nothing to take away.")
    return 0


def _cache(words: Words) -> int:
    from gymrecipe.report.safe import counted, size
    from gymrecipe.rollouts import shelf

    at_most(words, 0)
    given = taken(words)
    folder = Path(given["cache_dir"] or Path(given["output_dir"], shelf.FOLDER))
    if given["clear"]:
        gone, length = shelf.clear(folder)
        print(say.safe(f"{folder}: {counted(gone, 'file')} of {size(length)} removed"))
    elif found := rows.kept(folder):
        say.table(found)
    else:
        say.note(f"{folder}: nothing is kept there.")
    return 0


def _show(words: Words) -> int:
    import msgspec

    from gymrecipe.experiments import manifest
    from gymrecipe.report import terminal
    from gymrecipe.report.safe import in_json

    (path,), given = _version_arguments(words, 1)
    record = manifest.read(path)
    if given["json"]:
        print(in_json(msgspec.json.encode(record)))
    else:
        terminal.summary(record, say.console(stderr=False))
        print(say.safe(str(path)))
    return 0


def _explain(words: Words) -> int:
    if len(words.arguments) != 2:
        raise RecipeError("explain: write a version and a line: explain RECIPE/v0001 a.jsonl:17")
    line = words.arguments.pop()
    (path,), _ = _version_arguments(words, 1)

    from gymrecipe.experiments.explain import explain

    for sentence in explain(path, line):
        print(say.safe(sentence))
    return 0


def _verify(words: Words) -> int:
    from gymrecipe.experiments.verify import has_ledger, known_as, verify

    (path,), _ = _version_arguments(words, 1)
    differences = verify(path)
    if not has_ledger(path):
        say.note(f"{path}: no ledger has a line about it, so that the manifest vouches for itself.")
    for difference in differences:
        say.error(f"{path}: {difference}")
    if differences:
        return DataError.exit_code
    known = known_as(path)
    print(say.safe(f"{path}: {f'{known}, ' if known else ''}whole, every file as it was written"))
    return 0


def _rejects(words: Words) -> int:
    (path,), given = _version_arguments(words, 1)

    from gymrecipe.experiments import rejects

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
    has_causes = any(line.cause for line in lines)
    shown = [
        {
            "source": line.source,
            "line": str(line.line),
            "offset": str(line.offset),
            "bytes": str(line.bytes),
            "stage": line.stage,
            "reason": line.reason,
        }
        | ({"cause": line.cause} if has_causes else {})
        for line in lines
    ]
    if given["snippet"]:
        for row, text in zip(shown, rejects.snippets(path, lines), strict=True):
            row["begins"] = text
    say.table(shown)
    if not shown:
        both = f"stage '{given['stage']}' rejected no line as '{given['reason']}'."
        say.note(f"{path}: {both if given['stage'] else 'every line was used.'}")
    return 0


def _reproduce(words: Words) -> int:
    from gymrecipe.report import terminal
    from gymrecipe.running.reproduce import reproduce

    (path,), given = _version_arguments(words, 1)
    with terminal.Bars(say.console()) as bars:
        same = reproduce(path, bars, any_tools=given["any_tools"])
    print(say.safe(f"{path}: made again, {same.files} files and {same.bytes} bytes are the same"))
    return 0


def _diff(words: Words) -> int:
    (one, other), _ = _version_arguments(words, 2)

    from gymrecipe.experiments.diff import diff
    from gymrecipe.report import terminal

    terminal.difference(diff(one, other), say.console(stderr=False))
    return 0


def _version_arguments(words: Words, count: int) -> tuple[list[Path], dict[str, Any]]:
    from gymrecipe.experiments import references

    if len(words.arguments) != count:
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
