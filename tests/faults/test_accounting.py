"""Every line has a fate: generated files against an oracle that knows what it put into them."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import gymrecipe
from gymrecipe.errors import DataError
from gymrecipe.experiments import fates, rejects
from gymrecipe.rollouts import scan
from gymrecipe.rollouts.wanted import Wanted
from gymrecipe.running import loading
from tests.experiments.conftest import rollout
from tests.faults.conftest import figure
from tests.full import often

FILES_A_RUN = 20
Line = tuple[bytes, str | None]
"""A line, and why it is bad; None for a rollout."""


def good(chance: random.Random) -> bytes:
    fields = rollout(
        f"prompt {chance.randrange(4)} \u2028\u00e9",
        f"answer {chance.randrange(5)}",
        chance.choice([0.0, 0.25, 0.5, 1, True, None, "0.5", 2**53 + 2, -1e-300]),
        extra={"deep": [[1]], "text": "a\nb\t\u0000"},
    )
    return json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode()


BAD: dict[str, list[Callable[[bytes], bytes]]] = {
    "blank": [lambda line: b"", lambda line: b"  \t", lambda line: b"\r"],
    "bad_json": [
        lambda line: line[:-1],
        lambda line: b"\0" * 40,
        lambda line: b"{'single': 1}",
        lambda line: line[:-1] + b",}",
        lambda line: b"x" + line,
    ],
    "trailing_data": [lambda line: line + line, lambda line: line + b" x"],
    "not_utf8": [lambda line: line.replace(b"answer", b"ans\xffer")],
    "non_finite": [
        lambda line: re.sub(rb'"reward": [^}]*', b'"reward": NaN', line),
        lambda line: re.sub(rb'"reward": [^}]*', b'"reward": 1e999', line),
    ],
    "int_precision": [
        lambda line: re.sub(rb'"reward": [^}]*', b'"reward": 9007199254740993', line)
    ],
    "duplicate_key": [lambda line: line[:-1] + b', "messages": []}'],
    "not_object": [lambda line: b"[" + line + b"]", lambda line: b"null", lambda line: b"7"],
    "too_deep": [lambda line: b'{"a":' * 5_000 + b"1" + b"}" * 5_000],
    "not_a_rollout": [lambda line: b"{}", lambda line: b'{"detail": "error"}'],
    "no_response": [lambda line: b'{"responses_create_params": {"input": "a"}}'],
    "wrong_type": [lambda line: line.replace(b'"answer', b'7, "b": "answer')],
    "control_char": [lambda line: line.replace(b"prompt", b"pro\x01mpt")],
}


def made_up(chance: random.Random) -> list[Line]:
    """The lines of a file; a bad one is a good one that something happened to."""
    lines: list[Line] = []
    for _ in range(chance.randrange(12)):
        if chance.random() < 0.6:
            lines.append((good(chance), None))
        elif lines and chance.random() < 0.2:
            lines.append(chance.choice(lines))
        else:
            reason = chance.choice(list(BAD))
            lines.append((chance.choice(BAD[reason])(good(chance)), reason))
    return lines


def save(path: Path, lines: list[Line], chance: random.Random) -> list[Line]:
    """The lines as a file, some with carriage returns, some without an end."""
    feed = chance.choice([b"\n", b"\n", b"\r\n"])
    ended = chance.random() < 0.7
    path.write_bytes(feed.join(line for line, _ in lines) + (feed if ended and lines else b""))
    if feed == b"\r\n":
        fed = len(lines) if ended else len(lines) - 1
        lines = [(line + b"\r" * (n < fed), reason) for n, (line, reason) in enumerate(lines)]
    if not ended and lines:
        last, reason = lines.pop()
        if reason in ("bad_json", "not_utf8"):
            lines.append((last, "truncated_tail"))
        elif last:  # nothing behind the last line feed is no line
            lines.append((last, reason))
    return lines


def broken(version: gymrecipe.Version, files: dict[str, list[Line]]) -> list[str]:
    """What does not agree between a version and the lines that were put into its inputs."""
    assert version.path is not None
    counts = version.manifest.lines
    used = pl.read_parquet(version.path / "used.parquet")
    rows = rejects.rejects(version.path)
    faults = []
    if counts.read != counts.used + counts.rejected or counts.rejected != len(rows):
        faults.append(f"{counts} do not add up with {len(rows)} rejects")
    fate: Counter[tuple[str, int]] = Counter({(row.source, row.line): 1 for row in rows})
    fate.update(set(used.select("source", "line").iter_rows()))
    places = {(path, n) for path, lines in files.items() for n in range(1, len(lines) + 1)}
    if set(fate) != places or fate.total() != len(places):
        faults.append(f"not one fate each: {places ^ set(fate)}, {fate.most_common(1)}")
    for row in rows:
        line, reason = files[row.source][row.line - 1]
        data = Path(row.source).read_bytes()[row.offset : row.offset + row.bytes]
        if data != line:
            faults.append(f"{row}: {data!r} is not {line!r}")
        if (row.stage == "load" or reason) and row.reason != reason:
            faults.append(f"{row}: {line!r} is {reason}")
    for source, number in used.select("source", "line").iter_rows():
        if files[source][number - 1][1] is not None:
            faults.append(f"{source}:{number}: used, though it is {files[source][number - 1][1]}")
    return faults


def tried(root: Path, seeds: range) -> tuple[int, int, list[str]]:
    """Run recipes on generated files: how many files and lines there were, and the faults."""
    made = lines = 0
    faults: list[str] = []
    for seed in seeds:
        chance = random.Random(seed)
        files = {}
        for number in range(FILES_A_RUN):
            path = root / f"{number}.jsonl"
            files[str(path)] = save(path, made_up(chance), chance)
        knobs: dict[str, Any] = {"input": list(files), "output_dir": str(root / "out")}
        recipe = ("sft_threshold", "dpo_same_prompt", "sft_best_per_task")[seed % 3]
        try:
            version = gymrecipe.run(recipe, max_bad_rows="100%", again=True, **knobs)
        except DataError as error:  # by chance there are no rollouts, or none of them pairs
            faults += [] if "nothing to write" in str(error) else [str(error)]
            continue
        faults += broken(version, files)
        made += FILES_A_RUN
        lines += version.manifest.lines.read
    return made, lines, faults


def test_every_line_of_generated_files_has_one_fate_with_its_place_and_reason(root: Path) -> None:
    runs = often(6, 510)
    made, lines, faults = tried(root, range(runs))
    assert faults == []
    assert made > 0.9 * runs * FILES_A_RUN
    figure("every line has a fate", "generated files against the oracle", made,
           f"{lines} lines, 0 disagreements")  # fmt: skip


def test_control_a_reject_that_is_lost_stops_the_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = fates.settle
    monkeypatch.setattr(fates, "settle", lambda *tables: settle(*tables)[1:])
    with pytest.raises(RuntimeError, match=r"a bug of gymrecipe; .* lines do not add up"):
        tried(root, range(1))
    assert not list((root / "out").glob("*/v*"))


LOSE_A_REJECT = """
import sys
from gymrecipe.cli import main
from gymrecipe.experiments import fates

settle = fates.settle
fates.settle = lambda *tables: settle(*tables)[1:]
main(["+recipe=dpo_same_prompt", f"output_dir={sys.argv[1]}"])
"""


def test_a_reject_that_is_lost_stops_an_optimised_run_too(root: Path) -> None:
    words = [sys.executable, "-O", "-c", LOSE_A_REJECT, str(root / "out")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "lines do not add up" in done.stderr
    assert not (root / "out").exists()


def test_control_a_line_taken_for_another_is_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = scan.Bad

    def off_by_one(line: int, offset: int, length: int, reason: str) -> scan.Bad:
        return bad(line, offset + 1, length, reason)

    monkeypatch.setattr(scan, "Bad", off_by_one)
    _, _, faults = tried(root, range(1))
    assert faults


def stops_at_its_limit(root: Path, allowed: int, bad: int) -> None:
    path = root / "a.jsonl"
    lines = [json.dumps(rollout("a", "b")).encode()] * 3 + [b"no json"] * bad + [b""]
    path.write_bytes(b"\n".join(lines) + b"\n")
    knobs = {"input": str(path), "output_dir": str(root / "out"), "max_bad_rows": allowed}
    if bad <= allowed:
        assert gymrecipe.run("sft_threshold", **knobs).manifest.lines.rejected >= bad
        return
    told = rf"a\.jsonl:{4 + allowed}: bad_json: .*bad row {allowed + 1};"
    with pytest.raises(DataError, match=told):
        gymrecipe.run("sft_threshold", **knobs)
    assert not (root / "out").exists()


@pytest.mark.parametrize("allowed", [0, 1, 7])
@pytest.mark.parametrize("more", [-1, 0, 1, 5])
def test_max_bad_rows_stops_at_exactly_its_limit(allowed: int, more: int, root: Path) -> None:
    stops_at_its_limit(root, allowed, max(allowed + more, 0))


def allow(change: Callable[[int], int | str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run read with another limit than it was told."""

    def other(**wanted: Any) -> Wanted:
        return Wanted(**wanted | {"max_bad_rows": change(wanted["max_bad_rows"])})

    monkeypatch.setattr(loading, "Wanted", other)


def test_control_without_max_bad_rows_a_run_on_bad_lines_is_seen_to_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(lambda allowed: "100%", monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        stops_at_its_limit(root, 7, 8)


@pytest.mark.parametrize(("off", "bad"), [(-1, 7), (1, 8)])
def test_control_a_limit_that_is_off_by_one_is_seen(
    off: int, bad: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(lambda allowed: allowed + off, monkeypatch)
    with pytest.raises((pytest.fail.Exception, DataError)):
        stops_at_its_limit(root, 7, bad)
