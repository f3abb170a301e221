"""Digests: the same however a file is cut and read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.rollouts import digests, files
from gymrecipe.rollouts.digests import Digest, digest_of, digest_prefix
from tests.rollouts.conftest import GOOD, read, rollout, slow_digest


@given(st.binary(max_size=200), st.integers(1, 40), st.integers(1, 40))
def test_a_digest_is_that_of_the_digests_of_the_blocks(data: bytes, size: int, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "BLOCK_BYTES", size)
        digest = Digest()
        for start in range(0, len(data), step):
            digest.update(data[start : start + step])
        assert digest_of(digest.close()) == slow_digest(data, size)


def test_a_digest_does_not_depend_on_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)
    monkeypatch.setattr(digests, "BLOCK_BYTES", 64)
    found = set()
    for size in (64, 128, 640, 2**20):
        for step in (1, 63, 64, 1000):
            monkeypatch.setattr("gymrecipe.rollouts.table.SLICE_BYTES", size)
            monkeypatch.setattr(files, "READ_BYTES", step)
            found.add(read(path).read[0].digest)
    assert found == {slow_digest(GOOD, 64)} == {digest_prefix(str(path), len(GOOD))}


def test_a_digest_is_known_ahead(tmp_path: Path) -> None:
    data = json.dumps(rollout("a" * 100_000)).encode() + b"\n"
    data *= 18 * 2**20 // len(data)
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    assert read(path).read[0].digest == slow_digest(data, 8 * 2**20)


@pytest.mark.parametrize("squeeze", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("limit", [None, 3])
def test_the_digest_of_a_compressed_file_is_that_of_its_bytes_on_disk(
    tmp_path: Path, squeeze: Callable[[bytes], bytes], limit: int | None
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(squeeze(GOOD) * 2 + (b"\0" * 100 if squeeze is gzip.compress else b""))
    assert read(path, limit=limit).read[0].digest == slow_digest(path.read_bytes(), 2**23)


def test_a_compressed_file_is_hashed_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(GOOD))

    def again(path: str, flags: int) -> int:
        raise AssertionError("read once more")

    monkeypatch.setattr(digests, "regular", again)
    assert read(path).rows.height == 50
