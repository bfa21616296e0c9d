"""Temporary folders that are readable for their user only, and that the next run removes after a kill.

A folder is locked as long as its process lives, so one that is not is nobody's. On a file system without
locks none is removed but by its own process.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lowpeak_artifact.disk import temporary_folder
from lowpeak_artifact.temporary import list_temporary

SUFFIX = ".locked"


@contextmanager
def private_folder(prefix: str, base: Path | None = None) -> Iterator[str]:
    """A folder in `base`, by default among the system's temporary files (TMPDIR), gone afterwards.

    `prefix`: of its name, the same in every run; what killed processes left of that kind is removed first.
    Raises OSError when it cannot be made, EnvironmentProblem when TMPDIR names no folder.
    """
    base = temporary_folder() if base is None else base
    remove_leftovers(prefix, SUFFIX, base)
    folder, lock = new_private_folder(prefix, SUFFIX, base)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def new_private_folder(prefix: str, suffix: str, base: Path) -> tuple[Path, int]:
    """A folder of mode 0700, and the descriptor that holds its lock: to be closed once the folder is gone, or
    is no temporary one any more. Raises OSError when it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=base))
        list_temporary(folder)
        with suppress(FileNotFoundError):
            lock = _opened(folder)
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_SH)
            if folder.exists():
                return folder, lock
            os.close(lock)
        # Another process took it for a leftover before the lock was there.


def remove_leftovers(prefix: str, suffix: str, base: Path) -> None:
    """Removes the folders in `base` of such names that are this user's and whose processes have ended."""
    for folder in base.glob(f"{_escaped(prefix)}*{suffix}"):
        # Another process's, a link, another user's, or gone meanwhile.
        with suppress(OSError):
            _remove_leftover(folder)


def _remove_leftover(folder: Path) -> None:
    lock = _opened(folder)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _escaped(name: str) -> str:
    """For a pattern of names."""
    return re.sub(r"([\[*?])", r"[\1]", name)
