"""A URL is no input: it is refused in a sentence, and nothing connects or reads what it names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gymrecipe.cli import main
from gymrecipe.rollouts.naming import is_url
from tests.full import FULL

URLS = [
    "http://127.0.0.1:9/a.jsonl", "https://169.254.169.254/latest/meta-data", "http://[::1]:9/a",
    "http://2130706433/a", "http://0x7f000001/a", "http://localhost/a.jsonl", "HTTP://host/a",
    "s3://bucket/a.jsonl", "s3a://b/k", "gs://b/k", "gcs://b/k", "az://c/k", "abfs://c/k",
    "hdfs://h/k", "ftp://h/k", "sftp://h/k", "ssh://h/k", "smb://h/k", "hf://datasets/a/b",
    "github://o:r@/p", "git://h/r", "file:///etc/passwd", "file:/etc/passwd", "local:///etc/passwd",
    "memory://x", "data:text/plain,x", "data:;base64,eA==", "simplecache::s3://b/k",
    "filecache::file:///etc/passwd", "blockcache::http://h/k", "reference://x::file:///etc/x",
    "zip://a.jsonl::http://h/a.zip", "tar://x::file:///t.tar", "jar:file:///x!/y",
    "dask://x", "libarchive://x", "webhdfs://h/x", "root://h//x", "oci://b@n/k", "gopher://h/x",
]  # fmt: skip
PATHS = ["a.jsonl", "runs/*.jsonl", "/abs/a.jsonl", "a.jsonl:17", "C:\\x", "~/a", "a b:c.jsonl",
         "runs/x=1:2/a.jsonl", "12:30.jsonl", "gymrecipe/a"]  # fmt: skip


class Watched:
    """The events of this process that go to the network or open a file elsewhere, while it is on.

    An audit hook cannot be taken away again.
    """

    on = False
    events: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if Watched.on and event.startswith(("socket.", "urllib.", "http.", "ftplib.", "subprocess.")):
        Watched.events.append(f"{event} {arguments}")
    if Watched.on and event == "open" and "passwd" in str(arguments[0]):
        Watched.events.append(f"{event} {arguments}")


@pytest.fixture(scope="module", autouse=True)
def _hooked() -> None:
    sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    Watched.events = []
    Watched.on = True
    try:
        yield Watched.events
    finally:
        Watched.on = False


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_refused_and_nothing_connects(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    knobs = [
        ["+recipe=sft_threshold", f"input='{url}'"],
        ["+recipe=rl_prompts", f"materialized_inputs='{url}'"],
        ["+recipe=sft_threshold", f"output_dir='{url}'"],
    ]
    in_turn = [knobs[URLS.index(url) % len(knobs)]]
    with watched() as events:
        for words in (["columns", f"input={url}"], *(knobs if FULL else in_turn)):
            assert main(words) == 2, words
            said = capsys.readouterr().err
            assert "URL" in said or "credential" in said, said
            assert "Traceback" not in said
        assert main(["check", url, "format=trl"]) == 2
    assert events == []
    assert os.listdir(tmp_path) == []


def test_the_watch_would_notice() -> None:
    import socket

    with watched() as events, socket.socket() as plug:
        plug.settimeout(0.1)
        plug.connect_ex(("127.0.0.1", 9))
    assert any(event.startswith("socket.connect") for event in events)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_no_url(path: str) -> None:
    assert not is_url(path)


def test_a_file_that_has_the_name_of_a_url_is_read(tmp_path: Path) -> None:
    from gymrecipe.rollouts.naming import sources

    (tmp_path / "data:x").write_text("{}\n")
    old = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert [source.name for source in sources("data:x", False)[0]] == ["data:x"]
    finally:
        os.chdir(old)
