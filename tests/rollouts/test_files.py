"""What a file is, and its lines as bytes, however they are cut, packed or changed."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymrecipe.errors import ChangedError, DataError, InputError
from gymrecipe.rollouts import files
from gymrecipe.rollouts.files import (
    SAMPLE,
    RawLine,
    blocks,
    check_unchanged,
    lines,
    open_source,
    starts_inside_a_line,
    zstd,
)
from gymrecipe.rollouts.naming import sources
from tests.full import often
from tests.rollouts.conftest import GOOD, read, rollout, slow_digest

BYTES = st.lists(st.sampled_from([b"\n", b"\n\n", b"\r\n", b"a", b"bc", "\u2028".encode()])).map(
    b"".join
)
BIG = 2**63


def split(stream: list[bytes], offset: int = 0, end: int = BIG, partial: bool = False) -> Any:
    return list(lines(iter(stream), offset, end, partial))


def oracle(data: bytes) -> list[RawLine]:
    """What `bytes.split` says the lines are."""
    found, offset = [], 0
    parts = data.split(b"\n")
    for part in parts[:-1]:
        found.append(RawLine(offset, len(part), part, True))
        offset += len(part) + 1
    if parts[-1]:
        found.append(RawLine(offset, len(parts[-1]), parts[-1], False))
    return found


# Lines


@given(BYTES, st.lists(st.integers(0, 40)))
def test_lines_are_those_of_split_wherever_blocks_end(data: bytes, cuts: list[int]) -> None:
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    stream = [data[a:b] for a, b in itertools.pairwise(bounds)]
    assert split(stream) == oracle(data)


@settings(max_examples=often(60, 400))
@given(BYTES, st.integers(1, 9), st.integers(1, 7))
def test_lines_are_those_of_split_wherever_slices_and_reads_end(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, step: int, read_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "slices.jsonl"
    path.write_bytes(data)
    source = open_source(str(path), 0)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "READ_BYTES", read_bytes)
        for start in range(0, len(data), step):
            end = min(start + step, len(data))
            inside = starts_inside_a_line(source, start)
            found += list(lines(blocks(source, start, end), start, end, inside))
    assert found == oracle(data)


@given(st.integers(1, 30), st.lists(st.integers(0, 12), max_size=8), st.integers(1, 9))
def test_an_over_long_line_is_counted_but_not_kept(
    most: int, lengths: list[int], step: int
) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "MAX_LINE_BYTES", most)
        found = split([data[i : i + step] for i in range(0, len(data), step)])
    assert [line.length for line in found] == lengths
    assert [line.data is None for line in found] == [length > most for length in lengths]


def test_an_over_long_line_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    held: list[int] = []

    def stream() -> Any:
        for _ in range(100):
            yield b"x" * 8
            frame = found.gi_frame
            held.append(sum(map(len, frame.f_locals["pending"])))

    found: Any = lines(stream(), 0, BIG, False)
    assert [line.length for line in found] == [800]
    assert max(held) <= 10


# What a file is


def test_a_relative_name_is_shown_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text("x")
    monkeypatch.chdir(tmp_path)
    (source,), _ = sources("a.jsonl", False)
    assert (source.name, source.path) == ("a.jsonl", str(tmp_path / "a.jsonl"))


def test_the_sample_is_always_there() -> None:
    (source,), _ = sources(SAMPLE, False)
    assert (source.name, source.size > 0) == (SAMPLE, True)


def test_a_folder_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder, not a file\. Name its files, such as '.*/\*"):
        sources(f"{tmp_path}/", False)


@pytest.mark.parametrize("name", ["runs/rolouts.jsonl", "run/rollouts.jsonl", "run/rolouts.jsonl"])
def test_a_missing_file_is_told_with_the_path_of_the_nearest_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "rollouts.jsonl").write_text("x")
    (tmp_path / "runs" / "rolouts.json").mkdir()
    meant = "runs/rollouts.jsonl"
    with pytest.raises(InputError, match=rf"{name}: no such file\. Did you mean '{meant}'\?$"):
        sources(name, False)
    with pytest.raises(InputError, match=rf"no such file\. Did you mean '{tmp_path}/{meant}'\?$"):
        sources(str(tmp_path / name), False)
    sources(meant, False)


def test_a_file_in_a_missing_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file\.$"):
        sources(str(tmp_path / "nowhere" / "a.jsonl"), False)


def test_a_file_below_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(InputError, match=r"cannot be read: Not a directory"):
        sources(str(tmp_path / "a" / "b"), False)


def test_a_name_that_the_encoding_has_not_is_an_error(tmp_path: Path) -> None:
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    script = "from gymrecipe.rollouts.files import open_source; open_source('\\u0130', 0)"
    words = [sys.executable, "-c", script]
    done = subprocess.run(
        words, env=os.environ | ascii, cwd=tmp_path, capture_output=True, text=True
    )
    assert "InputError" in done.stderr
    assert "the system's encoding is set to ascii" in done.stderr


def test_a_pipe_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        sources(str(tmp_path / "pipe"), False)


@pytest.mark.parametrize(("mode", "said"), [(0o000, "Permission denied"), (0o311, "no such file")])
def test_no_permission_is_an_error_without_a_traceback(
    tmp_path: Path, mode: int, said: str
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(mode)
    script = (
        "import sys; from gymrecipe.errors import InputError\n"
        "from gymrecipe.rollouts.naming import sources\n"
        f"try: sources({str(folder / 'a.jsonl')!r}, False)\n"
        "except InputError as error: print(error)"
    )
    command = [sys.executable, "-c", script]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything, and there is no setpriv to become another")
        for parent in tmp_path.parents:
            if not parent.stat().st_mode & 0o005 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o005)
        tmp_path.chmod(0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = subprocess.run(
        command, cwd=Path(files.__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    folder.chmod(0o755)
    if "ModuleNotFoundError" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("another user cannot run this Python")
    assert said in done.stdout, done.stderr


# Compression

PACK: dict[str, Any] = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a"])
def test_compression_is_known_by_the_first_bytes_not_by_the_name(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(PACK[kind](GOOD))
    table = read(path)
    assert (table.rows.height, table.read[0].bytes) == (50, len(GOOD))
    assert table.rows["offset"].to_list() == [i * (len(GOOD) // 50) for i in range(50)]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_plain_text_is_plain_text_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD)
    assert read(path).rows.height == 50


@pytest.mark.parametrize("kind", PACK)
def test_several_members_are_one_stream(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(PACK[kind](GOOD[:100]) + PACK[kind](GOOD[100:]))
    assert read(path).rows.height == 50


@pytest.mark.parametrize("number", [0x50, 0x5F])
def test_a_zstd_file_may_begin_with_a_frame_that_readers_skip(tmp_path: Path, number: int) -> None:
    skipped = bytes((number, 0x2A, 0x4D, 0x18, 4, 0, 0, 0)) + b"size"
    path = tmp_path / "a"
    path.write_bytes(skipped + zstd.compress(GOOD))
    assert (read(path).rows.height, read(path).read[0].bytes) == (50, len(GOOD))
    path.write_bytes(skipped[:10])
    with pytest.raises(DataError, match="the zstd data is cut off or broken"):
        read(path)


@pytest.mark.parametrize("kind", PACK)
def test_a_compressed_file_cut_anywhere_is_an_error_that_names_it(
    tmp_path: Path, kind: str
) -> None:
    whole = PACK[kind](GOOD)
    path = tmp_path / "a.jsonl"
    for cut in range(4, len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=rf"a\.jsonl: the {kind} data is cut off or broken"):
            read(path)


@pytest.mark.parametrize(
    "broken",
    [
        gzip.compress(GOOD) + b"garbage",
        zstd.compress(GOOD) + b"garbage",
        gzip.compress(GOOD)[:-8] + bytes(8),  # only the checksum is wrong
        gzip.compress(GOOD)[:20] + bytes(9) + gzip.compress(GOOD)[29:],
    ],
    ids=["gzip and more", "zstd and more", "wrong checksum", "hole"],
)
def test_broken_compression_is_an_error(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "a").write_bytes(broken)
    with pytest.raises(DataError, match="is cut off or broken"):
        read(tmp_path / "a")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_an_empty_file_is_no_compressed_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="empty: not even the header"):
        sources(str(tmp_path / name), False)


@pytest.mark.parametrize("kind", PACK)
def test_a_compressed_file_of_nothing_has_no_lines(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(PACK[kind](b""))
    assert read(tmp_path / "a").read[0].lines == 0


def test_an_empty_plain_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    table = read(tmp_path / "a.jsonl")
    assert (table.rows.height, table.read[0].lines, table.read[0].bytes) == (0, 0, 0)


# Files that change


def changing(path: Path, change: Any, limit: int | None = None) -> Any:
    """Read a file that is changed right before its first slice is scanned."""

    def engine(function: Any, jobs: Any, count: int) -> Any:
        change()
        return map(function, jobs)

    return read(path, engine=engine, limit=limit)


def written(tmp_path: Path, data: bytes = GOOD) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    return path


@pytest.mark.parametrize("left", [0, 1, 100, len(GOOD) - 1])
def test_a_file_that_shrinks_while_read_is_an_error(tmp_path: Path, left: int) -> None:
    path = written(tmp_path)
    with pytest.raises(ChangedError, match=r"a\.jsonl: became shorter while it was read"):
        changing(path, lambda: os.truncate(path, left))


def test_a_file_that_is_replaced_while_read_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "b").write_bytes(GOOD)
    with pytest.raises(ChangedError, match="changed while it was read"):
        changing(path, lambda: os.replace(tmp_path / "b", path))


def test_a_longer_file_in_the_place_of_the_old_one_did_not_grow(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "b").write_bytes(GOOD * 2)
    with pytest.raises(ChangedError, match="changed while it was read"):
        changing(path, lambda: os.replace(tmp_path / "b", path))


def test_a_file_that_is_written_over_while_read_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ChangedError, match="changed while it was read"):
        changing(path, lambda: path.write_bytes(GOOD.replace(b'"a"', b'"c"')))


@pytest.mark.parametrize("data", [GOOD, gzip.compress(GOOD)])
def test_a_file_that_goes_away_while_read_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path, data)
    with pytest.raises(ChangedError, match="gone while it was read"):
        changing(path, path.unlink)


def test_a_file_that_grows_is_read_to_the_size_it_had(tmp_path: Path) -> None:
    path = written(tmp_path)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(GOOD)

    table = changing(path, grow)
    assert (table.rows.height, table.read[0].digest) == (50, slow_digest(GOOD, 2**23))


def test_a_compressed_file_that_grows_has_no_known_end_and_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(GOOD))

    def grow() -> None:
        with path.open("ab") as file:
            file.write(gzip.compress(GOOD))

    with pytest.raises(ChangedError, match="changed while it was read"):
        changing(path, grow)


@pytest.mark.parametrize("kind", PACK)
def test_a_compressed_file_that_shrinks_changed_and_is_not_broken(
    tmp_path: Path, kind: str
) -> None:
    path = written(tmp_path, PACK[kind](GOOD))
    with pytest.raises(ChangedError, match="changed while it was read"):
        changing(path, lambda: os.truncate(path, 30))


def test_a_file_that_stays_is_unchanged(tmp_path: Path) -> None:
    source = open_source(str(written(tmp_path)), 0)
    check_unchanged(source)
    Path(source.path).read_bytes()
    check_unchanged(source)


# Limit


def test_a_limit_counts_over_all_files_and_the_rest_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gymrecipe.rollouts.table.SLICE_BYTES", 2 * len(GOOD) // 50)
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_bytes(GOOD)
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for limit in (1, 3, 49, 50, 51, 75, 100, 149, 150, 1000):
        table = read(*paths, limit=limit)
        lines_read = [min(50, max(0, limit - before)) for before in (0, 50, 100)]
        assert [part.lines for part in table.read] == lines_read
        assert table.rows["source"].value_counts(sort=True).height == sum(map(bool, lines_read))
        for part, count in zip(table.read, lines_read, strict=True):
            prefix = GOOD[: count * len(GOOD) // 50]
            assert (part.bytes, part.digest) == (len(prefix), slow_digest(prefix, 2**23))


def test_what_lies_beyond_the_limit_is_no_bad_row(jsonl: Any) -> None:
    path = jsonl(rollout(), rollout(), b"bad", b"worse")
    table = read(path, limit=2, max_bad_rows=0)
    assert (table.rows.height, table.bad.height) == (2, 0)


def test_bad_and_blank_lines_count_towards_the_limit(jsonl: Any) -> None:
    table = read(jsonl(b"", b"bad", rollout(), rollout()), limit=3)
    assert (table.rows.height, table.bad.height) == (1, 2)


def test_a_compressed_file_is_read_to_the_limit_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    many = os.urandom(2**20).hex().encode()
    path.write_bytes(gzip.compress(GOOD + many)[:-100_000])
    assert read(path, limit=50).rows.height == 50


def test_a_file_cut_to_the_limit_has_the_same_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    (tmp_path / "b").write_bytes(GOOD[: len(GOOD) // 2])
    cut, whole = read(tmp_path / "a", limit=25), read(tmp_path / "b")
    assert cut.read == whole.read
