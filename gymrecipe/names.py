"""Names: what the folder of a recipe's versions may be called, and a tag in it."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

NAME_RULE = "letters, digits, '.', '_' and '-', a letter or digit first, 100 characters at most"

LATEST = "latest"
"""What the newest version is called beside its own name: no recipe and no tag may be."""
