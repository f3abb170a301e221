"""What is kept of a scan: it saves the next one and never changes what comes out."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
import xxhash
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.engines.local import local
from gymrecipe.errors import ChangedError, DataError, RecipeError
from gymrecipe.rollouts import cache_entries, cached, digests, table
from gymrecipe.rollouts.bad import TooManyBadRows
from gymrecipe.rollouts.cache_entries import Entry
from gymrecipe.rollouts.columns import Column
from gymrecipe.rollouts.table import Table
from tests.forked import python
from tests.full import few, often
from tests.rollouts.conftest import Write, read, rollout
from tests.rollouts.test_table import COLUMNS, lines_of_all_kinds

SQUEEZED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress,
}  # fmt: skip


class Watched:
    """An engine that counts the slices it was given, by what was to be done with them."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}

    def __call__(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], size: int
    ) -> Iterator[Any]:
        for job in jobs:
            self.done[function.__name__] = self.done.get(function.__name__, 0) + 1
            yield function(job)


@pytest.fixture(autouse=True)
def _small(every_scan_is_kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices are many."""
    monkeypatch.setattr(digests, "BLOCK_BYTES", 500)
    monkeypatch.setattr(table, "SLICE_BYTES", 1000)
    monkeypatch.setattr(table, "FRAME_ROWS", 7)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def same(one: Table, other: Table) -> None:
    """The tables are alike to the order of their rows, but for where the digest came from."""
    assert one.rows.equals(other.rows)
    assert one.rows.schema == other.rows.schema
    assert one.bad.equals(other.bad)
    assert one.metric_rows.equals(other.metric_rows)
    assert (one.fields, one.metrics, one.warnings) == (other.fields, other.metrics, other.warnings)
    for here, there in zip(one.read, other.read, strict=True):
        assert (here.lines, here.bytes, here.digest) == (there.lines, there.bytes, there.digest)


def done(path: Any, cache: Path, **wanted: Any) -> dict[str, int]:
    """What a run did that had the cache, which gives the same as one without."""
    engine = Watched()
    same(read(path, cache=cache, engine=engine, **wanted), read(path, **wanted))
    return engine.done


def change(path: Path, old: bytes, new: bytes) -> None:
    """Write over a part of a file, and set back its time."""
    status = path.stat()
    data = path.read_bytes()
    assert old in data
    with path.open("r+b") as file:
        file.write(data.replace(old, new, 1))
        file.truncate()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# The same again


@pytest.mark.parametrize("squeeze", SQUEEZED)
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_second_run_scans_nothing_and_gives_the_same(
    jsonl: Write, cache: Path, squeeze: str, end: bytes
) -> None:
    path = Path(jsonl(*lines_of_all_kinds(), end=end))
    path.write_bytes(SQUEEZED[squeeze](path.read_bytes()))
    wanted: dict[str, Any] = {"columns": COLUMNS, "metric_rows": True, "group_by": "kind"}
    assert done(path, cache, **wanted)["scan"] >= 1
    assert done(path, cache, **wanted) == {}


def test_the_table_says_where_a_digest_came_from(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    assert [read(path, cache=cache).read[0].digest_from for _ in range(2)] == ["file", "cache"]


def test_bad_rows_stop_a_run_in_the_same_words(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    said = []
    read(path, cache=cache)
    for folder in (cache, None):
        for most in (2, "1%"):
            with pytest.raises(TooManyBadRows) as error:
                read(path, cache=folder, max_bad_rows=most)
            said.append((str(error.value), error.value.lines, error.value.reasons))
    assert said[:2] == said[2:]


def test_a_slice_that_was_left_is_not_kept(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds(), *[b"{}"] * 100)
    for _ in range(2):
        with pytest.raises(TooManyBadRows):
            read(path, cache=cache, max_bad_rows=2)
    assert not list(cache.glob("*.table"))
    assert read(path, cache=cache).bad.equals(read(path).bad)


def test_an_absent_column_is_an_error_in_the_same_words(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    column = Column("nowhere", (("nowhere",),), "number")
    said = []
    for folder in (cache, cache, None):
        with pytest.raises(RecipeError, match="nowhere") as error:
            read(path, cache=folder, columns=[column])
        said.append(str(error.value))
    assert len(set(said)) == 1


def test_several_files_are_kept_each_for_itself(jsonl: Write, cache: Path) -> None:
    paths = [jsonl(*lines_of_all_kinds(i), name=f"{i}.jsonl") for i in range(3)]
    read(*paths[:2], cache=cache)
    engine = Watched()
    same(read(*reversed(paths), cache=cache, engine=engine), read(*reversed(paths)))
    last = -(-Path(paths[2]).stat().st_size // 1000)
    assert engine.done == {"scan": last}
    assert len(list(cache.glob("*.table"))) == 3


def test_workers_and_one_process_keep_the_same(
    jsonl: Write, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(*lines_of_all_kinds() * 50)
    monkeypatch.setattr(digests, "BLOCK_BYTES", 8 * 2**20)  # as in a worker
    monkeypatch.setattr(table, "SLICE_BYTES", 2**16)
    monkeypatch.setattr("gymrecipe.engines.local.WORTH_BYTES", 0)
    wanted: dict[str, Any] = {"columns": COLUMNS, "metric_rows": True}
    with local(2) as engine:
        same(read(path, cache=cache, engine=engine, **wanted), read(path, **wanted))
    read(path, cache=tmp_path / "other", **wanted)
    one, other = (next(folder.glob("*.table")) for folder in (cache, tmp_path / "other"))
    assert one.read_bytes() == other.read_bytes()


# Other recipes


def test_what_several_recipes_ask_for_is_kept_together(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    asked: list[dict[str, Any]] = [
        {"columns": COLUMNS[:2]},
        {"columns": COLUMNS[1:], "reward": "accuracy"},
        {"group_by": "kind"},
        {"metric_rows": True},
        {"task_fields": ["kind"]},
    ]
    scans = [done(path, cache, **wanted).get("scan", 0) for wanted in asked]
    assert all(scans[:4])
    assert scans[4] == 0  # a path that another one grouped by
    for wanted in asked:
        assert done(path, cache, **wanted) == {}


def test_a_name_that_means_another_path_is_not_mistaken(jsonl: Write, cache: Path) -> None:
    path = jsonl(rollout(a=1, b=2), rollout(a=3, b=4))
    for path_of_x in ("a", "b", "a"):
        found = read(path, cache=cache, columns=[Column("x", ((path_of_x,),), "number")])
        assert found.rows["x"].to_list() == {"a": [1.0, 3.0], "b": [2.0, 4.0]}[path_of_x]


def test_patterns_of_one_text_share_what_is_kept(jsonl: Write, cache: Path) -> None:
    path = jsonl(rollout(x="ab"), rollout(x="cd"))
    columns = [Column(n, (("x",),), "text", pattern=p) for n, p in (("p", "^(.)"), ("q", "(.)$"))]
    assert done(path, cache, columns=columns[:1]) == {"scan": 1}
    assert done(path, cache, columns=columns) == {}


def test_more_than_many_names_are_not_kept_together(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(rollout(a=1, b=2))
    a, b = ({"columns": [Column(name, ((name,),), "number")]} for name in "ab")
    monkeypatch.setattr(cached, "MOST_NAMES", 10)  # the score, eight task fields, and one
    assert [done(path, cache, **wanted) for wanted in (a, b, b, a)] == [
        {"scan": 1}, {"scan": 1}, {}, {"scan": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("first", ["asked", "not asked"])
def test_a_line_that_is_bad_only_for_what_is_asked_is_bad_only_there(
    jsonl: Write, cache: Path, first: str
) -> None:
    huge = json.dumps(rollout(deep={"x": 1})).replace('"x": 1', f'"x": {"9" * 400}').encode()
    path = jsonl(rollout(deep={"x": 1}), huge, rollout())
    asked = {"columns": [Column("x", (("deep", "x"),), "number")]}
    runs: list[dict[str, Any]] = [asked, {}] if first == "asked" else [{}, asked]
    for wanted in runs * 2:
        done(path, cache, **wanted)
    assert read(path, cache=cache, **asked).bad["reason"].to_list() == ["non_finite"]
    assert read(path, cache=cache).bad.height == 0


def test_lines_that_are_bad_whatever_is_asked_are_kept(jsonl: Write, cache: Path) -> None:
    # Seen only when a row is made of them, and twice in one batch.
    twice = b'{"agent_ref": {"name": "a", "name": "b"}, "output": "4"}'
    path = jsonl(rollout(), twice, twice, rollout(), twice)
    assert done(path, cache) == {"scan": 1}
    assert done(path, cache) == {}
    assert read(path, cache=cache).bad["reason"].to_list() == ["duplicate_key"] * 3


def test_a_file_of_a_thousand_fields_is_not_kept(jsonl: Write, cache: Path) -> None:
    # Which of them are known depends on what is asked.
    path = jsonl(rollout(**{f"f{number}": number for number in range(1_100)}), rollout(z=1))
    for name in ("f1050", "z", "f3"):
        done(path, cache, columns=[Column(name, ((name,),), "number")], metric_rows=True)
    assert not list(cache.glob("*"))[1:]


def test_one_name_for_two_paths_is_not_kept(jsonl: Write, cache: Path) -> None:
    path = jsonl(rollout(a=1, b=2))
    wanted = {"columns": [Column("a", (("b",),), "number")], "present": (("a",),)}
    assert [done(path, cache, **wanted) for _ in range(2)] == [{"scan": 1}] * 2


# A file that changed


def test_only_what_was_appended_is_scanned(jsonl: Write, cache: Path) -> None:
    lines = [b"%-249d" % number for number in range(50)]
    path = Path(jsonl(*lines[:22]))
    assert done(path, cache) == {"scan": 6}
    with path.open("ab") as file:
        file.write(b"\n".join(lines[22:]) + b"\n")
    # The sixth slice was half there.
    assert done(path, cache) == {"hashed": 6, "scan": 8}
    assert done(path, cache) == {}


@few(2)
@given(data=st.data())
def test_a_file_that_grows_in_any_pieces_gives_what_a_scan_gives(data: st.DataObject) -> None:
    lines = [
        line if isinstance(line, bytes) else json.dumps(line).encode()
        for line in lines_of_all_kinds(data.draw(st.integers(0, 99)), 12)
    ]
    whole = b"\n".join(lines) + data.draw(st.sampled_from([b"", b"\n"]))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(whole)), max_size=4)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        for cut in [*cuts, len(whole)]:
            with path.open("ab") as file:
                file.write(whole[path.stat().st_size : cut])
            done(path, Path(folder))
            assert done(path, Path(folder)) == {}


def test_an_edit_of_what_was_scanned_is_seen_though_the_file_grew(
    jsonl: Write, cache: Path
) -> None:
    path = Path(jsonl(*[rollout(str(number), reward=0.25) for number in range(30)]))
    done(path, cache)
    change(path, b"0.25", b"0.75")
    with path.open("ab") as file:
        file.write(json.dumps(rollout()).encode())
    assert done(path, cache)["hashed"] == 1
    assert read(path, cache=cache).rows["reward"][0] == 0.75


@pytest.mark.parametrize("squeeze", SQUEEZED)
def test_an_edit_is_seen_though_size_and_time_are_as_before(
    jsonl: Write, cache: Path, squeeze: str
) -> None:
    path = Path(jsonl(*[rollout(str(number), reward=0.25) for number in range(30)]))
    plain = path.read_bytes()
    path.write_bytes(SQUEEZED[squeeze](plain))
    done(path, cache)
    change(path, path.read_bytes(), SQUEEZED[squeeze](plain.replace(b"0.25", b"0.75", 1)))
    assert done(path, cache)["scan"] >= 1
    assert read(path, cache=cache).rows["reward"][0] == 0.75


@pytest.mark.parametrize("squeeze", SQUEEZED)
def test_a_file_that_was_only_touched_is_hashed_and_not_scanned(
    jsonl: Write, cache: Path, squeeze: str
) -> None:
    path = Path(jsonl(*lines_of_all_kinds()))
    path.write_bytes(SQUEEZED[squeeze](path.read_bytes()))
    done(path, cache)
    os.utime(path)
    assert list(done(path, cache)) == ["hashed"]
    assert done(path, cache) == {}
    assert read(path, cache=cache).read[0].digest_from == "cache"


def test_a_file_that_was_young_at_its_scan_is_hashed_until_it_is_not(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(*lines_of_all_kinds())
    monkeypatch.setattr(cached, "SETTLED_NS", 3600 * 10**9)
    done(path, cache)
    assert list(done(path, cache)) == ["hashed"]
    assert read(path, cache=cache).read[0].digest_from == "file"
    monkeypatch.setattr(cached, "SETTLED_NS", 0)
    assert list(done(path, cache)) == ["hashed"]
    assert done(path, cache) == {}


def test_a_file_is_young_for_two_seconds(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(cached, "WORTH_BYTES", 0)
    monkeypatch.setattr(cached, "LEAST_BYTES", 0)
    path = Path(jsonl(rollout()))
    changed = path.stat().st_ctime_ns
    for later, settled in ((1.9, False), (2.1, True), (-5, False)):
        monkeypatch.setattr(time, "time_ns", lambda at=later: changed + int(at * 10**9))
        read(path, cache=cache)
        assert cache_entries.read(next(cache.glob("*.table"))).settled is settled
        next(cache.glob("*.table")).unlink()


def test_workers_are_asked_for_no_more_than_what_a_file_has_grown_by(
    jsonl: Write, cache: Path
) -> None:
    path = Path(jsonl(*lines_of_all_kinds()))
    read(path, cache=cache)
    before = path.stat().st_size
    with path.open("ab") as file:
        file.write(json.dumps(rollout("new", reward=1.0)).encode() + b"\n")
    asked: dict[str, int] = {}

    def engine(function: Callable[[Any], Any], jobs: Iterable[Any], size: int) -> Iterator[Any]:
        asked[function.__name__] = size
        return map(function, jobs)

    read(path, cache=cache, engine=engine)
    grown = path.stat().st_size - before
    assert asked["hashed"] == before
    assert grown <= asked["scan"] <= grown + 2 * table.SLICE_BYTES < before


@pytest.mark.parametrize("what", ["shorter", "another"])
def test_a_file_that_is_shorter_or_another_one_is_scanned(
    jsonl: Write, cache: Path, what: str
) -> None:
    path = Path(jsonl(*lines_of_all_kinds()))
    done(path, cache)
    if what == "shorter":
        os.truncate(path, 3_000)
    else:
        other = Path(jsonl(*lines_of_all_kinds(1), name="b.jsonl"))
        other.rename(path)
    assert "scan" in done(path, cache)


def test_a_file_that_changes_while_it_is_read_is_not_kept(jsonl: Write, cache: Path) -> None:
    path = Path(jsonl(*lines_of_all_kinds()))

    def engine(function: Callable[[Any], Any], jobs: Iterable[Any], size: int) -> Iterator[Any]:
        for result in map(function, jobs):
            os.utime(path, ns=(1, 1))
            yield result

    with pytest.raises(ChangedError):
        read(path, cache=cache, engine=engine)
    assert not list(cache.glob("*.table"))


def test_runs_while_a_writer_appends_give_what_was_there(
    jsonl: Write, cache: Path, tmp_path: Path
) -> None:
    path = Path(jsonl(*lines_of_all_kinds()))
    text = b"".join(
        json.dumps(rollout(str(number), reward=number / 7)).encode() + b"\n"
        for number in range(400)
    )
    stop = threading.Event()

    def append() -> None:
        with path.open("ab", buffering=0) as file:
            for start in range(0, len(text), 700):
                if stop.is_set():
                    return
                file.write(text[start : start + 700])
                time.sleep(0.001)

    writer = threading.Thread(target=append)
    writer.start()
    try:
        for number in range(4):
            found = read(path, cache=cache)
            copy = tmp_path / f"{number}.jsonl"
            with path.open("rb") as file:
                copy.write_bytes(file.read(found.read[0].bytes))
            same(found, read(copy))
            time.sleep(0.02)
    finally:
        stop.set()
        writer.join()
    done(path, cache)
    assert done(path, cache) == {}


# An entry that is not to be believed


def test_an_entry_that_is_torn_anywhere_changes_nothing(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    plain = read(path)
    read(path, cache=cache)
    entry = next(cache.glob("*.table"))
    whole = entry.read_bytes()
    step = len(whole) // often(8, 40)
    torn = [whole[:cut] for cut in range(0, len(whole), step)]
    torn += [
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for place in (*range(0, len(whole), step), len(whole) - 1)
    ]
    torn += [b"", b"\0" * 40, whole * 2, whole[len(whole) // 2 :]]
    for data in torn:
        entry.write_bytes(data)
        same(read(path, cache=cache), plain)
        if entry.exists():
            assert entry.read_bytes() == whole or data.endswith(whole)
        entry.unlink(missing_ok=True)


def test_a_torn_entry_is_made_again(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    done(path, cache)
    entry = next(cache.glob("*.table"))
    entry.write_bytes(b"?" + entry.read_bytes()[1:])
    assert done(path, cache) == {}  # what was torn is scanned right there
    assert not entry.exists()
    found = [done(path, cache).get("scan", 0) for _ in range(2)]
    assert found[0] > 0
    assert found[1] == 0


@pytest.mark.parametrize("whose", ["code", "user"])
def test_an_entry_of_other_code_or_another_user_is_not_believed(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    path = jsonl(*lines_of_all_kinds())
    done(path, cache)
    with monkeypatch.context() as patch:
        if whose == "code":
            patch.setattr(cache_entries, "code", lambda: "other")
        else:
            patch.setattr(os, "geteuid", lambda: 12_345)
        assert "scan" in done(path, cache)
    if whose == "code":  # that run made an entry of its own
        assert "scan" in done(path, cache)


def test_the_code_of_an_entry_is_that_of_all_that_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gymrecipe import rollouts

    ours = cache_entries.code()
    copy = Path(shutil.copytree(rollouts.__path__[0], tmp_path / "rollouts"))
    monkeypatch.setattr(cache_entries, "files", {"gymrecipe.rollouts": copy}.__getitem__)
    assert cache_entries.code.__wrapped__() == ours
    (copy / "more.py").write_text("x = 1\n")
    assert cache_entries.code.__wrapped__() != ours


def test_the_entry_of_another_file_in_its_place_changes_nothing(jsonl: Write, cache: Path) -> None:
    one, other = (jsonl(*lines_of_all_kinds(i), name=f"{i}.jsonl") for i in range(2))
    read(one, cache=cache)
    first = next(cache.glob("*.table"))
    read(other, cache=cache)
    (second,) = set(cache.glob("*.table")) - {first}
    second.write_bytes(first.read_bytes())
    assert "scan" in done(other, cache)


def forged(path: Path, entry: Entry) -> None:
    """Let an entry's file say something else of its input, under a right hash."""
    old = cache_entries.read(path)
    data = msgspec.msgpack.encode(entry)
    records = path.read_bytes()[: sum(part.length for part in old.parts)]
    check = xxhash.xxh3_128_digest(data)
    trailer = cache_entries._TRAILER.pack(len(data), check, cache_entries._MAGIC)
    path.write_bytes(records + data + trailer)


def test_an_entry_that_lies_about_its_file_gives_rows_whose_hashes_do_not_fit(
    jsonl: Write, cache: Path
) -> None:
    path = Path(jsonl(*[rollout(str(number), reward=0.25) for number in range(9)]))
    read(path, cache=cache)
    place = next(cache.glob("*.table"))
    change(path, b"0.25", b"0.75")
    status = path.stat()
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    forged(place, msgspec.structs.replace(cache_entries.read(place), stamp=stamp))
    lies, truth = read(path, cache=cache).rows, read(path).rows
    assert lies["reward"][0] == 0.25
    ids = pl.col("id_hi", "id_lo")
    assert lies.select(ids).row(0) != truth.select(ids).row(0)  # a write would find that out


# Where nothing is kept


def test_a_limited_run_neither_uses_nor_keeps_anything(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())
    assert "scan" in done(path, cache, limit=20)
    assert not cache.exists()
    done(path, cache)
    assert "scan" in done(path, cache, limit=20)


@pytest.mark.parametrize("size", ["WORTH_BYTES", "LEAST_BYTES"])
def test_small_inputs_are_not_kept(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    path = jsonl(*lines_of_all_kinds())
    monkeypatch.setattr(cached, size, 2**20)
    done(path, cache)
    assert not cache.exists()


def test_many_files_are_worth_what_they_are_together(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [jsonl(rollout(str(i)), name=f"{i}.jsonl") for i in range(3)]
    monkeypatch.setattr(cached, "WORTH_BYTES", 3 * Path(paths[0]).stat().st_size)
    read(*paths[:2], cache=cache)
    assert not cache.exists()
    read(*paths, cache=cache)
    assert len(list(cache.glob("*.table"))) == 3


def test_an_empty_file_is_read_as_ever(jsonl: Write, cache: Path) -> None:
    assert done(jsonl(), cache) == {}


@pytest.mark.parametrize("what", ["a file", "below a file", "no space", "not synced"])
def test_where_nothing_can_be_kept_the_run_goes_on(
    jsonl: Write, cache: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = jsonl(*lines_of_all_kinds())
    if what == "a file":
        cache.write_text("mine")
    elif what == "below a file":
        cache.write_text("mine")
        cache = cache / "deeper"
    elif what == "not synced":
        monkeypatch.setattr(os, "fsync", failing)
    else:
        monkeypatch.setattr(
            cache_entries, "_private", lambda path, flags: os.open("/dev/full", os.O_WRONLY)
        )
    assert "scan" in done(path, cache)
    assert "scan" in done(path, cache)
    assert not list(cache.parent.rglob("*.table"))


def failing(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_run_that_is_interrupted_leaves_nothing_half_made(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds())

    def engine(function: Callable[[Any], Any], jobs: Iterable[Any], size: int) -> Iterator[Any]:
        for number, job in enumerate(jobs):
            if number == 2:
                assert list(cache.glob(".*.table"))
                raise KeyboardInterrupt
            yield function(job)

    with pytest.raises(KeyboardInterrupt):
        read(path, cache=cache, engine=engine)
    assert not list(cache.rglob("*.table"))
    with pytest.raises(DataError):
        read(path, cache=cache, max_bad_rows=0)
    assert not list(cache.rglob("*.table"))


def test_several_processes_may_keep_the_same_file_at_once(jsonl: Write, cache: Path) -> None:
    path = jsonl(*lines_of_all_kinds() * often(4, 20))
    code = (
        "import os, sys; from pathlib import Path; from tests.rollouts.conftest import read;"
        "from gymrecipe.rollouts import cached, table;"
        "cached.WORTH_BYTES = cached.LEAST_BYTES = cached.SETTLED_NS = 0\n"
        "table.SLICE_BYTES = 1000\n"
        "os.fork(), os.fork()  # four\n"
        "rows = [read(sys.argv[1], cache=Path(sys.argv[2])).rows for _ in range(3)];"
        "print(len({str(each.hash_rows().to_list()) for each in rows}), rows[0].height, flush=True)"
        "\ntry:\n    while True: os.wait()\nexcept ChildProcessError: pass"
    )
    done = python("-c", code, path, str(cache))
    assert done.stdout == 4 * f"1 {read(path).rows.height}\n", done.stderr
    assert [file.name[0] for file in sorted(cache.iterdir())].count(".") == 1  # .gitignore
    assert len(list(cache.glob("*.table"))) == 1
