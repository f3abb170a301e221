"""`verify` sees whatever is done to a version: 200 mutations, each of them alone."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import gymrecipe
from gymrecipe.errors import GymrecipeError
from gymrecipe.experiments import verify
from tests.experiments.conftest import graded, save
from tests.faults.conftest import figure

Mutation = Callable[[Path], object]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tamper").resolve()
    rollouts = save(folder / "a.jsonl", [*graded(20, 4), b"no json"])
    made = gymrecipe.run("dpo_same_prompt", input=str(rollouts), output_dir=str(folder / "out"),
                         shard_rows=5, validation_fraction=0.3)  # fmt: skip
    assert made.path is not None
    return made.path


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def swap(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a decoded JSON text its numbers, texts and truths stand."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        if isinstance(part, dict | list):
            yield from leaves(part, (*path, key))
        else:
            yield (*path, key)


def edited(record: Any, path: tuple[Any, ...]) -> bytes:
    changed = copy.deepcopy(record)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    old = inner[path[-1]]
    inner[path[-1]] = old + 1 if type(old) in (int, float) else f"{old}x"
    return json.dumps(changed, indent=2).encode()


def mutations(version: Path) -> list[tuple[str, Mutation]]:
    """Two hundred: files flipped, cut, grown, moved, linked, added; fields of the manifest."""
    chance = random.Random(0)
    files = sorted(str(f.relative_to(version)) for f in version.rglob("*") if f.is_file())
    found: list[tuple[str, Mutation]] = []
    for name in files:
        bits = [chance.randrange(8 * (version / name).stat().st_size) for _ in range(3)]
        found += [(f"bit {b} of {name}", lambda v, n=name, b=b: flip(v / n, b)) for b in bits]  # type: ignore[misc]
        found += [
            (f"cut {name}", lambda v, n=name: os.truncate(v / n, (v / n).stat().st_size - 1)),
            (f"grow {name}", lambda v, n=name: grow(v / n)),
            (f"empty {name}", lambda v, n=name: (v / n).write_bytes(b"")),
            (f"move {name}", lambda v, n=name: (v / n).rename(v / f"{n}.old")),
            (f"link {name}", lambda v, n=name: ((v / n).unlink(), (v / n).symlink_to("README.md"))),
        ]
    for one, other in pairwise(files):
        found.append((f"{one} for {other}", lambda v, a=one, b=other: swap(v / a, v / b)))
    for name in ("extra", "data/extra", ".hidden"):
        found.append((f"file {name}", lambda v, n=name: (v / n).write_text("x")))
        found.append((f"folder {name}", lambda v, n=name: (v / n).mkdir()))
        found.append((f"pipe {name}", lambda v, n=name: os.mkfifo(v / n)))
    record = json.loads((version / "manifest.json").read_bytes())
    for path in chance.sample(list(leaves(record)), 200 - len(found)):
        data = edited(record, path)
        found.append((f"manifest {path}", lambda v, d=data: (v / "manifest.json").write_bytes(d)))
    return found


def missed(version: Path, root: Path) -> list[str]:
    """The mutations that `verify` does not see."""
    unseen = []
    for name, mutate in mutations(version):
        folder = root / "folder"
        shutil.copytree(version.parent, folder, symlinks=True)
        mutate(folder / version.name)
        try:
            if not verify.verify(folder / version.name).differences:
                unseen.append(name)
        except GymrecipeError:
            assert name.endswith("manifest.json")
        shutil.rmtree(folder)
    return unseen


def test_each_of_200_mutations_is_seen(version: Path, root: Path) -> None:
    assert len({name for name, _ in mutations(version)}) == 200
    assert verify.verify(version).differences == []
    assert missed(version, root) == []
    figure("tampering is seen", "mutations of a version", 200, "200 seen")


def test_control_by_size_alone_flipped_bits_are_not_seen(
    version: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_file", lambda *_: iter(()))
    unseen = missed(version, root)
    assert sum(name.startswith("bit ") for name in unseen) > 10
    figure("tampering is seen", "control: contents not hashed", 200, f"{len(unseen)} not seen")
