"""Kept: what the scan of a file gave, in a file of its own, so that the next run need not scan.

An entry holds the slices of one input as the scan gave them, so a run goes on with them as if it
had scanned. It is believed while the input has the same device, inode, size and times; where only
the times or a longer size differ, the input's blocks are hashed again and have to be the same. What
is torn, was made by other code or by another user is as if it were not there.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import struct
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from gymrecipe.rollouts.columns import name_of
from gymrecipe.rollouts.engine import Map
from gymrecipe.rollouts.files import BLOCK_BYTES, Source, check_unchanged, hash_blocks
from gymrecipe.rollouts.known import KNOWN_FIELDS
from gymrecipe.rollouts.scan import Bad, Job, Metric, Scanned, scan, task_field

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd
