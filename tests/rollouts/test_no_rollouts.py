"""What is said of inputs in which no line is a rollout."""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gymrecipe.errors import DataError
from gymrecipe.rollouts.naming import sources
from gymrecipe.rollouts.no_rollouts import check_not_empty, check_rollouts
from tests.rollouts.conftest import GOOD, Write, read, rollout


def said(*paths: str) -> list[str]:
    """The sentences about these inputs, with the names of the files alone."""
    files, _ = sources(list(paths), False)
    with pytest.raises(DataError) as caught:
        check_rollouts(read(*paths), files)
    folder = f"{Path(paths[0]).parent}/"
    return [problem.replace(folder, "") for problem in caught.value.problems]


def test_each_reason_is_told_with_its_first_line(jsonl: Write) -> None:
    assert said(jsonl(5, b"", b"oops", b"}")) == [
        "a.jsonl:1: not_object: JSON, but not an object.",
        "a.jsonl:3: bad_json: text that is not JSON (the first of 2).",
        "a.jsonl: no rollouts: 4 lines read (2 bad_json, 1 blank, 1 not_object). Is this a"
        " rollout file of NeMo Gym?",
    ]


def test_a_number_that_is_too_wide_is_no_doubt_about_the_file(jsonl: Write) -> None:
    assert said(jsonl(rollout(reward=2**53 + 1)))[-1] == (
        "a.jsonl: no rollouts: 1 line read (1 int_precision). Ask for another field, or mend the"
        " file."
    )


def test_a_last_line_that_is_cut_off_ends_its_sentence_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"reward": 1')
    assert said(str(path))[0].endswith("is cut off (still being written?).")


def zipped(data: bytes) -> bytes:
    with zipfile.ZipFile(made := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("squeeze", "told"),
    [
        (lzma.compress, "by xz; gzip and zstd are read: xz -dc a.jsonl > rollouts.jsonl"),
        (bz2.compress, "by bzip2; gzip and zstd are read: bzip2 -dc a.jsonl > rollouts.jsonl"),
        (zipped, "by zip; gzip and zstd are read: unzip -p a.jsonl > rollouts.jsonl"),
    ],
)
def test_a_file_that_is_compressed_in_another_way_is_told_with_what_unpacks_it(
    tmp_path: Path, squeeze: Callable[[bytes], bytes], told: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(squeeze(GOOD))
    assert said(str(path))[-1].endswith(f"This is compressed {told} unpacks it.")


@pytest.mark.parametrize("form", ["UTF-16", "UTF-16LE", "UTF-16BE"])
def test_wide_characters_are_told_with_what_makes_utf_8_of_them(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD.decode().encode(form))
    assert f"iconv -f {form} -t UTF-8 a.jsonl > rollouts.jsonl makes it." in said(str(path))[-1]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([b""], "a.jsonl: no rollouts: 1 line read, and it is blank."),
        ([b"", b"  ", b""], "a.jsonl: no rollouts: 3 lines read, all blank."),
    ],
)
def test_blank_lines_are_one_sentence(lines: list[bytes], sentence: str, jsonl: Write) -> None:
    assert said(jsonl(*lines)) == [sentence]


def test_json_over_several_lines_is_told_with_what_converts_it(jsonl: Write) -> None:
    assert "jq -c ." in said(jsonl(b"{", b'"reward": 1', b"}"))[-1]


def test_some_inputs_are_named_and_the_others_counted(jsonl: Write) -> None:
    paths = [jsonl(b"", name=f"{n}.jsonl") for n in range(5)]
    (sentence,) = said(*paths)
    assert sentence.startswith("0.jsonl, 1.jsonl, 2.jsonl and 2 more: no rollouts: 5 lines")


def test_one_rollout_is_enough(jsonl: Write) -> None:
    path = jsonl(b"oops", rollout())
    check_rollouts(read(path), sources([path], False)[0])


def test_inputs_without_a_byte_are_told_before_they_are_read(jsonl: Write) -> None:
    empty, other = jsonl(), jsonl(name="b.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl: no rollouts: the file is empty\.\Z"):
        check_not_empty(sources([empty], False)[0])
    with pytest.raises(DataError, match=r"b\.jsonl: no rollouts: all of them are empty\.\Z"):
        check_not_empty(sources([empty, other], False)[0])
    check_not_empty(sources([empty, jsonl(b"", name="c.jsonl")], False)[0])
