import hashlib
import os
import shutil
from pathlib import Path

import msgspec
import polars as pl
import pytest

from gymrecipe.errors import InputError
from gymrecipe.experiments import ledger
from gymrecipe.experiments.manifest import Environment, Lines, Manifest, Output, encode
from gymrecipe.experiments.verify import Verified, verify

WHOLE = Lines(5, 2, 3)
SHARDS = ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl")


@pytest.fixture
def version(tmp_path):
    """A version of 2 used and 3 rejected lines, with its line in the ledger."""
    folder = tmp_path / "v0001"
    (folder / "data").mkdir(parents=True)
    for number, path in enumerate(SHARDS):
        (folder / path).write_text(f'{{"row": {number}}}\n')
    (folder / "README.md").write_text("# card\n")
    pl.DataFrame({"line": [3, 4, 5]}).write_parquet(folder / "rejects.parquet")
    record(folder, WHOLE)
    return folder


def record(folder: Path, lines: Lines) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    outputs = [
        Output(str(path.relative_to(folder)), 1, len(data), hashlib.sha256(data).hexdigest())
        for path in paths
        if (data := path.read_bytes()) and path.name != "manifest.json"
    ]
    data = encode(
        Manifest(1, "dpo", "v0001", "id", {}, [], lines, [], outputs, {}, [], Environment())
    )
    (folder / "manifest.json").write_bytes(data)
    with ledger.adding(folder.parent) as add:
        add({"version": folder.name, "manifest_sha256": hashlib.sha256(data).hexdigest()})


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_a_whole_version_has_no_differences(version, monkeypatch):
    assert verify(version).differences == []
    monkeypatch.chdir(version)
    assert verify(Path()).differences == []


def test_dates_and_modes_are_not_differences_and_hide_none(version):
    os.chmod(version / "README.md", 0o444)
    os.utime(version / "README.md", ns=(0, 0))
    assert verify(version).differences == []
    os.chmod(version / "README.md", 0o644)
    status = (version / "README.md").stat()
    flip(version / "README.md", 3)
    os.utime(version / "README.md", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert verify(version).differences == ["README.md: its content changed."]


@pytest.mark.parametrize("name", ["README.md", *SHARDS, "rejects.parquet", "manifest.json"])
def test_every_flipped_bit_is_found(version, name):
    path = version / name
    bits = path.stat().st_size * 8
    for bit in range(0, bits, max(1, bits // 150)):
        flip(path, bit)
        found = verify(version).differences
        assert found, f"bit {bit}"
        assert any(name in difference for difference in found)
        flip(path, bit)
    assert verify(version).differences == []


def test_the_manifest_is_held_against_the_ledger(version):
    data = (version / "manifest.json").read_bytes()
    (version / "manifest.json").write_bytes(data.replace(b'"dpo"', b'"dpx"'))
    assert verify(version).differences == [
        "manifest.json: changed since the ledger's line about v0001 was written."
    ]


def test_a_missing_ledger_line_is_said(version):
    (version.parent / "versions.jsonl").write_text("")
    assert verify(version).differences == [
        "manifest.json: the ledger has no line about v0001 to hold it against."
    ]


def test_a_version_that_was_handed_over_has_no_ledger_and_is_whole(version, tmp_path):
    copy = Path(shutil.copytree(version, tmp_path / "elsewhere" / version.name))
    assert (verify(version).vouched, verify(copy).vouched) == (True, False)
    assert verify(copy).differences == []
    (copy / "README.md").write_text("changed")
    assert verify(copy).differences != []


@pytest.mark.parametrize("name", ["my_copy", "v0007", "elsewhere/v0001"])
def test_a_copy_may_have_any_name(version, tmp_path, name):
    copy = Path(shutil.copytree(version, tmp_path / "handed" / name))
    assert verify(copy).differences == []
    assert verify(copy).version == "dpo/v0001"
    (copy / "README.md").write_text("changed")
    assert verify(copy).differences != []


def test_a_copy_beside_the_ledger_is_no_version(version):
    copy = Path(shutil.copytree(version, version.with_name("my_copy")))
    assert verify(copy) == Verified(str(copy), "dpo/v0001", False, [])


def test_a_manifest_that_is_none_is_a_difference(version):
    (version / "manifest.json").write_bytes(b"{")
    first, second = verify(version).differences
    assert first.startswith("manifest.json: not a manifest: ")
    assert second.startswith("manifest.json: changed since the ledger's line")
    (version / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        verify(version)


@pytest.mark.parametrize("name", ["README.md", SHARDS[0], "rejects.parquet"])
def test_a_missing_or_cut_file_is_found(version, name):
    data = (version / name).read_bytes()
    (version / name).write_bytes(data[:-1])
    assert verify(version).differences == [
        f"{name}: has {len(data) - 1} bytes, but the manifest says {len(data)}."
    ]
    (version / name).unlink()
    assert verify(version).differences == [f"{name}: missing."]


def test_swapped_shards_are_found(version):
    first, second = (version / name for name in SHARDS)
    first.rename(version / "third")
    second.rename(first)
    (version / "third").rename(second)
    assert verify(version).differences == [f"{name}: its content changed." for name in SHARDS]


def test_extra_files_folders_and_links_are_found(version):
    (version / "data" / "extra").mkdir()
    (version / "data" / "extra" / ".hidden").write_text("")
    (version / "link").symlink_to("nowhere")
    os.mkfifo(version / "pipe")
    assert verify(version).differences == [
        "data/extra: a folder that does not belong to the version.",
        "data/extra/.hidden: a file that does not belong to the version.",
        "link: a symbolic link that does not belong to the version.",
        "pipe: a special file that does not belong to the version.",
    ]


def test_a_link_to_the_same_bytes_is_not_the_file(version):
    for name in ("README.md", "manifest.json"):
        (version / name).rename(version.parent / name)
        (version / name).symlink_to(f"../{name}")
    shutil.move(version / "data", version.parent / "data")
    (version / "data").symlink_to("../data")
    assert verify(version).differences == [
        "README.md: not a file but a symbolic link.",
        "data: not a folder but a symbolic link.",
        "manifest.json: not a file but a symbolic link.",
        *(f"{name}: missing." for name in SHARDS),
    ]


def test_a_pipe_in_place_of_a_file_does_not_hang(version):
    (version / "README.md").unlink()
    os.mkfifo(version / "README.md")
    assert verify(version).differences == ["README.md: not a file but a special file."]


def test_a_renamed_version_is_found(version):
    moved = version.rename(version.with_name("v0002"))
    assert verify(moved).differences == [
        "manifest.json: the ledger has no line about v0002 to hold it against.",
        "manifest.json: is about 'v0001', but the folder is 'v0002'.",
    ]


def test_lines_that_do_not_add_up_are_found(version):
    record(version, Lines(6, 2, 3))
    assert verify(version).differences == [
        "manifest.json: 6 lines read are not 2 used and 3 rejected."
    ]
    record(version, Lines(4, 2, 2))
    assert verify(version).differences == [
        "rejects.parquet: has 3 rows, but the manifest says that 2 lines were rejected."
    ]


def test_rejects_that_are_no_table_are_found(version):
    (version / "rejects.parquet").write_bytes(b"not parquet")
    record(version, WHOLE)
    assert verify(version).differences == [
        "rejects.parquet: missing, or not a table, so that its rows cannot be counted."
    ]


def test_a_manifest_may_not_point_outside(version):
    outside = version.parent / "outside"
    outside.write_text("secret")
    manifest = msgspec.json.decode((version / "manifest.json").read_bytes(), type=Manifest)
    digest = hashlib.sha256(b"secret").hexdigest()
    manifest.outputs.append(Output("../outside", 0, 6, digest))
    (version / "manifest.json").write_bytes(encode(manifest))
    assert "../outside: missing." in verify(version).differences
