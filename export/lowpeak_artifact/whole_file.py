"""A file that is written beside its name and renamed: under the name is the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

Place = Callable[[Path, Path], object]
"""Gives the first file, which is whole and on the disk, the name of the second."""


def temporary_of(path: Path) -> Path:
    """Where `path` is written before it is whole. What a dead process left there is replaced."""
    return path.with_name(f".{path.name}.tmp")


@contextlib.contextmanager
def writing_beside(
    path: Path, place: Place = os.replace, *, lasting: bool = True, mode: int = 0o666
) -> Iterator[BinaryIO]:
    """A new file, open to be written, that takes the place of `path` when the block ends without an exception
    and is gone otherwise. One process at a time may write there. `lasting`: it survives a power failure.

    Whatever lies under the temporary name is removed, never written through: a link there may lead anywhere.
    OSError (disk full) is the caller's.
    """
    temporary = temporary_of(path)
    try:
        with create_beside(path, mode) as file:
            yield file
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        place(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if lasting:
        sync(path.parent)


def create_beside(path: Path, mode: int = 0o666) -> BinaryIO:
    """The new file alone."""
    temporary = temporary_of(path)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    return os.fdopen(descriptor, "wb")


def sync(path: Path) -> None:
    """Makes what is in the file, or a rename in the folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
