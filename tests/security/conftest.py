"""What the security tests share: how much is tried, and what may be printed."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

PYTHON = [sys.executable, "-X", "utf8"]


def unseen(text: str) -> set[str]:
    """The characters of a text that move a cursor, hide, reverse or break lines."""
    odd = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return {sign for sign in text if sign not in "\n\t" and unicodedata.category(sign) in odd}


def command(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as a user runs it, in a folder."""
    return subprocess.run(
        [*PYTHON, "-m", "gymrecipe", *words], cwd=folder, capture_output=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip
