"""The order in which a publication makes itself durable: a power cut leaves no half version."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.faults.conftest import LAST_STEPS, figure, needs_strace, strace

CALLS = "mkdir,rmdir,openat,write,fsync,rename,renameat2,symlink"


def unsynced(log: str, folder: Path) -> list[str]:
    """What a power cut could undo at the moment that a trace shows: a rename of what is not on
    the disk, or a word of success before the folder is.
    """
    dirty: set[str] = set()
    faults = []
    for line in log.splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        both = re.findall(r'<(/[^>]*)>|"(/[^"]*)"', line)
        paths = [path for pair in both for path in pair if path.startswith(str(folder))]
        if call is None or " = -1 " in line:
            continue
        match call[1], paths:
            case "write", []:
                faults += [f"success before {path} is synced" for path in sorted(dirty)]
            case "write", [path, *_]:
                dirty.add(path)
            case "mkdir", [path]:
                dirty |= {path, str(Path(path).parent)}
            case "rmdir", [path]:
                dirty.discard(path)
            case "symlink", [path]:
                dirty.add(str(Path(path).parent))
            case "openat", [path, *_] if "O_CREAT" in line:
                dirty |= {path, str(Path(path).parent)}
            case "fsync", [path]:
                dirty.discard(path)
            case "rename" | "renameat2", [old, new]:
                inside = {path for path in dirty if path.startswith(old)}
                if re.fullmatch(r"v\d{4}", Path(new).name):
                    faults += [f"renamed before {path} is synced" for path in sorted(inside)]
                dirty = (dirty - inside) | {str(Path(new).parent)}
    return faults


def traced(root: Path, *more: str) -> list[str]:
    folder = root / "dpo"
    folder.mkdir(exist_ok=True)
    words = strace("-e", f"trace={CALLS}", log=root / "log")
    subprocess.run([*words, *LAST_STEPS, str(folder), *more], check=True, capture_output=True)
    return unsynced((root / "log").read_text(), folder)


@needs_strace
def test_everything_is_synced_before_the_rename_and_before_success_is_told(root: Path) -> None:
    assert traced(root) == []
    assert traced(root) == []  # with a ledger and `latest` there already
    figure("whole or absent", "order of fsync, rename and the word of success", 2, "in order")


@needs_strace
def test_control_a_publication_without_fsync_is_found(root: Path) -> None:
    found = traced(root, "without", "fsync")
    assert any("renamed before" in fault and "train.jsonl" in fault for fault in found)
    assert any("renamed before" in fault and "manifest.json" in fault for fault in found)
    assert any("success before" in fault and "versions.jsonl" in fault for fault in found)
