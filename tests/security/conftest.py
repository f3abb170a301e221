"""What the security tests share: how much is tried, and what may be printed."""

from __future__ import annotations

import sys
import unicodedata

PYTHON = [sys.executable, "-X", "utf8"]


def unseen(text: str) -> set[str]:
    """The characters of a text that move a cursor, hide, reverse or break lines."""
    odd = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return {sign for sign in text if sign not in "\n\t" and unicodedata.category(sign) in odd}
