"""The dataset card of a version: what it is, how it was made, how to load it and make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from gymrecipe.experiments.diff import flatten
from gymrecipe.experiments.guides import files_of, format_of, guides, purpose_of
from gymrecipe.experiments.inputs import short_names
from gymrecipe.experiments.manifest import Manifest, Output, StageRecord
from gymrecipe.experiments.recorded import resolved

LOADERS = {"jsonl": "json", "parquet": "parquet"}
DEFAULT = "default"
STAGE_COLUMNS = ("stage", "use", "in", "out", "rejected")
MOST_ROWS = 20
MOST_INPUTS = 100
MOST_CHARACTERS = 300

_LINK = re.compile(r"://|@|(?:www\.|mailto:|xmpp:)", re.IGNORECASE)
_MARK = re.compile(r"[\\`|*\[\]#~$]|(?<![^\W_])_|_(?![^\W_])")
"""What means something to Markdown; an underscore does so beside a word, and not in it."""

_IN_CODE = str.maketrans({"`": "'", "|": "\u00a6", "<": "\u2039", ">": "\u203a"})
"""What would end a cell or its code, and what is a tag to a reader that knows no code."""

Splits = dict[str, list[Output]]


def card(manifest: Manifest) -> str:
    """The README.md of a version, from its manifest alone.

    It does not say the version's name, which is not known before the version is published.
    """
    configs = _configs(manifest)
    parts = [
        *_front_matter(configs),
        f"# {escape(manifest.name)}",
        _what(manifest),
        *_section("Files", _table(("file", "rows", "bytes"), _files(configs))),
        *_section(f"Inputs{_first(manifest.inputs, MOST_INPUTS)}", _inputs(manifest)),
        *_section("How it was made", _table(STAGE_COLUMNS, map(_stage, manifest.stages))),
        *_section("Thresholds and gaps", _table(("stage", "parameter", "value"), _set(manifest))),
        *_section("Figures", *_figures(manifest)),
        *_section("Warnings", "\n".join(f"- {escape(text)}" for text in manifest.warnings)),
        *_section("Load it, in this folder", *_loading(manifest, configs)),
        *_section("Make it again", _AGAIN),
    ]
    return "\n\n".join(parts) + "\n"


def escape(value: Any) -> str:
    """A value as text that Markdown shows as it is, on one line, in a table or out of it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS] + "…"
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else " " for sign in text)
    text = " ".join(text.split())
    if _LINK.search(text):  # Markdown makes links of these by itself, but not in code
        return f"`{text.translate(_IN_CODE)}`"
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARK.sub(r"\\\g<0>", text)


def _section(title: str, *parts: str) -> list[str]:
    return [f"## {title}", *parts] if any(parts) else []


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [[escape(cell) for cell in row] for row in rows]
    if not lines:
        return ""
    names = [escape(name) for name in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *lines))


def _configs(manifest: Manifest) -> dict[str, Splits]:
    """The data files by write stage (`default` where there is only one) and split."""
    stages = manifest.writes
    found = {
        DEFAULT if len(stages) == 1 else stage.name: files_of(manifest, stage) for stage in stages
    }
    return {name: splits for name, splits in found.items() if splits}


def _front_matter(configs: dict[str, Splits]) -> Iterator[str]:
    # A JSON string is a YAML string too, so that no name means something else to YAML.
    if not configs:
        return
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {json.dumps(name)}", "  data_files:"]
        for split, files in splits.items():
            lines += [f"  - split: {split}", "    path:"]
            lines += [f"    - {json.dumps(file.path)}" for file in files]
    yield "\n".join([*lines, "---"])


def _what(manifest: Manifest) -> str:
    lines = manifest.lines
    made = ", ".join(
        f"{stage.rows_out} {escape(stage.takes)}"
        + (f" for {escape(purpose)} in the format `{_code(format_of(stage))}`" if purpose else "")
        for stage in manifest.writes
        for purpose in [purpose_of(stage)]
    )
    return (
        f"Training data that gymrecipe made of agent rollouts: {made or 'nothing written'}."
        f" Of {lines.read} lines read, {lines.used} are used and {lines.rejected} rejected, each"
        " with a reason in `rejects.parquet`."
        f" The id of these data is `{_code(manifest.id)}`."
    )


def _code(text: str) -> str:
    return re.sub(r"[^\w.:/-]", "?", text)


def _files(configs: dict[str, Splits]) -> Iterator[tuple[str, int, int]]:
    for splits in configs.values():
        for files in splits.values():
            yield from ((file.path, file.rows, file.bytes) for file in files)


def _inputs(manifest: Manifest) -> str:
    named = zip(short_names(manifest.inputs), manifest.inputs, strict=True)
    rows = ((name, file.lines, file.bytes, file.digest) for name, file in named)
    return _table(("file", "lines", "bytes", "digest"), islice(rows, MOST_INPUTS))


def _first(rows: Sequence[Any], most: int) -> str:
    return f" (the first {most} of {len(rows)})" if len(rows) > most else ""


def _stage(stage: StageRecord) -> tuple[Any, ...]:
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(stage.rejected.items()))
    return stage.name, stage.use, stage.rows_in, stage.rows_out, rejected


def _set(manifest: Manifest) -> Iterator[tuple[str, str, Any]]:
    for stage in manifest.stages:
        numbers = resolved(stage)
        for name, value in flatten(stage.parameters):
            if name in numbers:
                yield stage.name, name, f"{numbers[name]} ({value})"
            elif name and name != "input":  # the inputs' paths are this machine's, not the data's
                yield stage.name, name, value


def _figures(manifest: Manifest) -> Iterator[str]:
    if manifest.statistics:
        yield _table(("figure", "value"), flatten(manifest.statistics))
    for stage in manifest.stages:
        for name, rows in stage.facts.items():
            if rows and name != "resolved":
                columns = list(dict.fromkeys(column for row in rows for column in row))
                shown = [[row.get(column) for column in columns] for row in rows[:MOST_ROWS]]
                yield f"{escape(stage.name)}: {escape(name)}{_first(rows, MOST_ROWS)}"
                yield _table(columns, shown)


def _loading(manifest: Manifest, configs: dict[str, Splits]) -> Iterator[str]:
    """How each write is loaded: as its format says, or else by `datasets`."""
    guided = {stage.name: guide for stage, guide in guides(manifest)}
    stages = [stage for stage in manifest.writes if files_of(manifest, stage)]
    for stage in stages:
        if len(configs) > 1:
            yield f"### {escape(stage.name)}"
        if (guide := guided.get(stage.name)) is not None:
            yield from (_fenced(language, text) for language, text in guide.load)
            yield from guide.notes
            continue
        splits = files_of(manifest, stage)
        files = {split: [file.path for file in files] for split, files in splits.items()}
        loader = LOADERS[next(iter(files.values()))[0].rpartition(".")[2]]
        yield _fenced(
            "python",
            "from datasets import load_dataset",
            "",
            f"dataset = load_dataset({json.dumps(loader)}, data_files={json.dumps(files)})",
        )


def _fenced(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


_AGAIN = """From the manifest alone, comparing every byte of data and rejects, in this folder:

```sh
python -m gymrecipe reproduce .
```

`recipe.yaml` is the recipe as it was run, with the values of its knobs. It runs as it is; do that
in another folder, for a version is never changed:

```sh
python -m gymrecipe +recipe=PATH_OF_THIS_FOLDER/recipe.yaml
```"""
