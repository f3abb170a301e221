"""Digests: of a file, made of those of its blocks, so that parts of it can be hashed apart."""

from __future__ import annotations

import hashlib

from gymrecipe.errors import InputError
from gymrecipe.rollouts.files import READ_BYTES
from gymrecipe.rollouts.regular_files import regular

BLOCK_BYTES = 8 * 2**20
"""A file's digest is the SHA-256 of the SHA-256s of its blocks of this size."""


class Digest:
    """Collects the SHA-256 of each block of a file while its bytes pass by in order."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self._hash = hashlib.sha256()
        self._filled = 0

    @property
    def length(self) -> int:
        """How many bytes have passed by."""
        return len(self.blocks) * BLOCK_BYTES + self._filled

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            part = view[: BLOCK_BYTES - self._filled]
            self._hash.update(part)
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == BLOCK_BYTES:
                self.close()

    def close(self) -> list[bytes]:
        """End the last block; the digests so far."""
        if self._filled:
            self.blocks.append(self._hash.digest())
            self._hash, self._filled = hashlib.sha256(), 0
        return self.blocks


def digest_of(blocks: list[bytes]) -> str:
    """The digest of a file from those of its blocks."""
    return hashlib.sha256(b"".join(blocks)).hexdigest()


def digest_prefix(path: str, length: int) -> str:
    """The digest of a file's first `length` bytes as they lie on disk."""
    return digest_of(digests(path, 0, length))


def digests(path: str, start: int, end: int) -> list[bytes]:
    """The digests of the blocks in a part of a file. Raises InputError if it cannot be read."""
    digest = Digest()
    left = end - start
    try:
        with open(path, "rb", buffering=0, opener=regular) as file:
            file.seek(start)
            while left > 0 and (data := file.read(min(READ_BYTES, left))):
                digest.update(data)
                left -= len(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    return digest.close()
