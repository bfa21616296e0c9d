"""What is to go from the disk with this process, listed for an end that cannot unwind.

A process that returns, or that an exception ends, removes its temporary folders where it made them. One that
a signal ends inside of a library's C++ code must not raise there: it removes what is listed here, and exits.
What one leaves that is killed, the next run removes (private_folder.py, folder_lock.py).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_listed: dict[Path, tuple[int, bool]] = {}
"""By path: the process that listed it, and whether it goes with all that it holds, or only if it is empty."""


def list_temporary(folder: Path) -> None:
    """The folder, whose name no other process uses, is temporary with all that it holds."""
    for gone in [path for path in list(_listed) if not os.path.lexists(path)]:
        _listed.pop(gone, None)
    _listed[folder] = os.getpid(), True


@contextmanager
def temporary_if_empty(*folders: Path) -> Iterator[None]:
    """During the block the folders are temporary, as long as they are empty; the last one goes first."""
    _listed.update(dict.fromkeys(folders, (os.getpid(), False)))
    try:
        yield
    finally:
        for folder in folders:
            _listed.pop(folder, None)


def remove_temporary() -> None:
    """Removes what this process has listed, the latest first; what cannot be removed stays."""
    for path, (process, whole) in reversed(list(_listed.items())):
        # A child process has a copy of its parent's list.
        if process != os.getpid():
            continue
        if whole:
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.rmdir()
