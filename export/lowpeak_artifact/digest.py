"""The SHA-256 of an open file, read in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

PIECE_BYTES = 1 << 22


def digest_of(file: BinaryIO, read: Callable[[int], object] = lambda _: None) -> str:
    """From where it stands to its end, as hexadecimal digits; `read` is called with the bytes read so far.
    Raises OSError.
    """
    digest, done = hashlib.sha256(), 0
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
        done += len(piece)
        read(done)
    return digest.hexdigest()
