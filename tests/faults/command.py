"""The command with the same hidden names each time, so that a trace of one run fits the next.

WORTH_BYTES in the environment says from how many bytes on work is given to processes.
"""

from __future__ import annotations

import os
import secrets

from gymrecipe.cli import console
from gymrecipe.engines import local

if __name__ == "__main__":
    secrets.token_hex = lambda size: "0" * (2 * size)
    local.WORTH_BYTES = int(os.environ.get("WORTH_BYTES", local.WORTH_BYTES))
    console()
