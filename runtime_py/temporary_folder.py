"""Temporary folders of private data: readable for their user only, removed by the next run after a kill.

A folder is locked as long as its process lives, so one that is not is nobody's. On a file system without
locks none is removed but by its own process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

SUFFIX = ".locked"
"""Of the names of folders whose processes lock them."""


@contextmanager
def temporary_folder(prefix: str, base: Path | None = None) -> Iterator[str]:
    """A folder in `base`, by default among the system's temporary files (TMPDIR), gone afterwards.

    `prefix`: of its name, the same in every run; other folders of that kind whose processes were killed are
    removed first. Raises OSError when it cannot be made.
    """
    base = Path(tempfile.gettempdir()) if base is None else base
    remove_leftovers(prefix, base)
    with ExitStack() as stack:
        folder = stack.enter_context(_new_folder(prefix, base))
        while (descriptor := _locked(folder)) is None:
            folder = stack.enter_context(_new_folder(prefix, base))
        stack.callback(os.close, descriptor)
        yield folder


def remove_leftovers(prefix: str, base: Path) -> None:
    """Removes the folders of that kind in `base` that are this user's and whose processes have ended."""
    for folder in base.glob(f"{prefix}*{SUFFIX}"):
        # Another process's, a link, another user's, or gone meanwhile.
        with suppress(OSError):
            _remove_leftover(folder)


def _new_folder(prefix: str, base: Path) -> tempfile.TemporaryDirectory[str]:
    """Mode 0700."""
    return tempfile.TemporaryDirectory(prefix=prefix, suffix=SUFFIX, dir=base)


def _locked(folder: str) -> int | None:
    """Its descriptor: closing it, which the end of the process does as well, ends the lock. None when another
    process has taken the folder for a leftover before the lock was there.
    """
    try:
        descriptor = _opened(folder)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    if os.path.exists(folder):
        return descriptor
    os.close(descriptor)
    return None


def _remove_leftover(folder: Path) -> None:
    descriptor = _opened(folder)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(descriptor)


def _opened(folder: str | Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
