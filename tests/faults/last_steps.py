"""The last steps of a run alone, publishing and what follows: a script that starts at once.

    python last_steps.py FOLDER [without PROTECTION]

Its hidden names are the same each time, so that a trace of one run fits the next.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
from pathlib import Path

from gymrecipe.errors import GymrecipeError
from gymrecipe.experiments import disk, folders, ledger, links, manifest, publishing
from gymrecipe.experiments.manifest import Environment, Lines, Manifest, Output

FILES = {"data/train.jsonl": b'{"row": 1}\n' * 5000, "README.md": b"# card\n"}


def main(folder: Path) -> None:
    with folders.staging(folder) as staged:
        for name, data in FILES.items():
            with disk.writing(staged / name):
                (staged / name).parent.mkdir(exist_ok=True)
                (staged / name).write_bytes(data)
        version = publishing.publish(staged, folder, lambda name: manifest.encode(record(name)))
    ledger.complete(version)
    links.link_latest(folder)
    with publishing.beside(version):
        links.tag(folder, version, f"tag-{version.name}")
    print(version, flush=True)


def record(version: str) -> Manifest:
    outputs = [
        Output(name, 0, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()
    ]
    none = Lines(0, 0, 0)
    return Manifest(1, "dpo", version, "id", {}, [], none, [], outputs, {}, [], Environment())


def in_place(staged: Path, folder: Path, manifest_for: object) -> Path:
    """What publishing would be without staging: the files grow under the version's name."""
    version = folder / f"v{publishing._highest(folder) + 1:04d}"
    version.mkdir()
    (version / manifest.FILE).write_bytes(manifest_for(version.name))  # type: ignore[operator]
    for name, data in FILES.items():
        (version / name).parent.mkdir(exist_ok=True)
        (version / name).write_bytes(data)
    return version


if __name__ == "__main__":
    secrets.token_hex = lambda size: "0" * (2 * size)
    if sys.argv[2:] == ["without", "staging"]:
        publishing.publish = in_place
    if sys.argv[2:] == ["without", "cleaning"]:
        shutil.rmtree = lambda *_, **__: None  # type: ignore[assignment]
    if sys.argv[2:] == ["without", "fsync"]:
        os.fsync = lambda handle: None
    try:
        main(Path(sys.argv[1]))
    except GymrecipeError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
