"""The command with the same hidden names each time, so that a trace of one run fits the next.

WORTH_BYTES in the environment says from how many bytes on work is given to processes, KEPT_BYTES
from how many on what a scan found is kept, and DAY how many days from now it is.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import datetime, timedelta, tzinfo

from gymrecipe.cli import console
from gymrecipe.engines import local
from gymrecipe.experiments import environment
from gymrecipe.rollouts import cached

DAY = int(os.environ.get("DAY", "0"))


class Then(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=DAY)


if __name__ == "__main__":
    secrets.token_hex = lambda size: "0" * (2 * size)
    local.WORTH_BYTES = int(os.environ.get("WORTH_BYTES", local.WORTH_BYTES))
    if "KEPT_BYTES" in os.environ:
        cached.WORTH_BYTES = cached.LEAST_BYTES = int(os.environ["KEPT_BYTES"])
        cached.SETTLED_NS = -(10**18)
    if DAY:
        now, now_ns = time.time, time.time_ns
        time.time = lambda: now() + 86_400 * DAY
        time.time_ns = lambda: now_ns() + 86_400 * DAY * 10**9
        environment.datetime = Then  # type: ignore[misc]
    console()
