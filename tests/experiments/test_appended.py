"""Appended: a file that grows, is hashed on the way, and whose records move to its front."""

import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymrecipe.experiments import appended
from gymrecipe.experiments.appended import Appended

RECORDS = st.lists(st.binary(max_size=12), min_size=1, max_size=8)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def filled(path: Path, data: bytes, hashing: bool = True) -> Appended:
    file = Appended(path)
    file.take(BytesIO(data), len(data), hashing)
    return file


@given(records=RECORDS, chosen=st.data(), copy=st.integers(1, 40))
def test_records_move_to_the_front_and_the_others_keep_their_order(
    records: list[bytes], chosen: st.DataObject, copy: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = chosen.draw(st.lists(st.sampled_from(range(len(records))), unique=True))
    spans, start = [], 0
    for record in records:
        spans.append((start, start + len(record)))
        start += len(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appended, "COPY_BYTES", copy)
        file = filled(tmp_path_factory.mktemp("appended") / "a", b"".join(records))
        file.lead([spans[n] for n in first])
    rest = [record for n, record in enumerate(records) if n not in first]
    expected = b"".join([*(records[n] for n in first), *rest])
    assert file.path.read_bytes() == expected
    assert file.digest() == digest(expected)


def test_what_stands_behind_the_last_record_is_not_written_again(tmp_path: Path) -> None:
    file = filled(tmp_path / "a", b"abcdefgh")
    with file.path.open("r+b") as other:
        other.seek(4)
        other.write(b"EFGH")
    file.lead([(2, 4)])
    assert file.path.read_bytes() == b"cdabEFGH"


@pytest.mark.parametrize("hashing", [(True, True), (True, False), (False, True), (False, False)])
def test_the_digest_is_of_all_bytes_however_many_were_hashed_on_the_way(
    hashing: tuple[bool, bool], tmp_path: Path
) -> None:
    file = filled(tmp_path / "a", b"one", hashing[0])
    file.take(BytesIO(b"two and more"), 3, hashing[1])
    assert file.bytes == 6
    assert file.path.read_bytes() == b"onetwo"
    assert file.digest() == digest(b"onetwo")


def test_a_source_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EOFError, match="2 bytes are missing"):
        Appended(tmp_path / "a").take(BytesIO(b"abc"), 5)
