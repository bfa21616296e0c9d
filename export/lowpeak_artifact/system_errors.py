"""What an error of the system means for a user: a full disk, a read-only folder, too many open files."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from contextlib import suppress

ANOTHER_DISK = "free some room, or use another disk (--out; TMPDIR for temporary files)"
ANOTHER_FOLDER = "give a folder that can be written to (--out; TMPDIR for temporary files)"
FAILING = "look into the system's log (dmesg), and use another disk (--out; TMPDIR for temporary files)"

MEANINGS = {
    errno.ENOSPC: ("the disk is full", ANOTHER_DISK),
    errno.EDQUOT: ("the quota on this disk is used up", ANOTHER_DISK),
    errno.EFBIG: ("a file may not become so large", "raise the limit (ulimit -f), or use another disk"),
    errno.EROFS: ("the file system is read-only", ANOTHER_FOLDER),
    errno.EACCES: ("there is no permission", ANOTHER_FOLDER),
    errno.EPERM: ("it is not permitted", ANOTHER_FOLDER),
    errno.EIO: ("the disk fails", FAILING),
    errno.ENXIO: ("the disk is gone", FAILING),
    errno.ENODEV: ("the disk is gone", FAILING),
    errno.ESTALE: ("the network's file system has lost it", "mount it again"),
    errno.ENOTCONN: ("the file system is not there any more", "mount it again"),
    errno.EMFILE: ("this process may not open more files", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("the system has too many files open", "end other programs, or raise fs.file-max"),
    errno.ENOMEM: ("the system has no memory left", "end other programs, or use a machine with more"),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "give another path"),
    errno.EISDIR: ("it is a folder", "give a file"),
    errno.EEXIST: ("there is a file of that name", "give another path"),
    errno.ELOOP: ("its links go round in a circle", "give another path"),
    errno.ENOENT: ("it is missing", "give another path, and let nothing remove it meanwhile"),
}  # fmt: skip
"""What it is, and what to do next."""

LONGEST = 300
"""Characters of what a library says."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TOLD_BY_LIBRARIES = re.compile(
    r"\(os error (\d+)\)|\[Errno (\d+)\]|you tried to allocate \d+ bytes. Error code (\d+)"
)
"""safetensors, tokenizers and others written in Rust; Python's own in another's message; torch."""


def number_of(error: BaseException) -> int | None:
    """The errno of an exception that stands for an error of the system, also one that a library wrapped."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    told = _TOLD_BY_LIBRARIES.search(str(error))
    return None if told is None else int(next(filter(None, told.groups())))


def meaning(number: int) -> str:
    """In words: `the disk is full (No space left on device)`."""
    known = MEANINGS.get(number)
    return os.strerror(number) if known is None else f"{known[0]} ({os.strerror(number)})"


def remedy_of(number: int | None) -> str:
    """What to do next."""
    return MEANINGS.get(number or 0, ("", "give another path"))[1]


def words_of(error: BaseException) -> str | None:
    """What happened to which file, and what to do next; None for what is no error of the system."""
    number = number_of(error)
    if number not in MEANINGS:
        return None
    names = [getattr(error, name, None) for name in ("filename", "filename2")]
    paths = [os.fsdecode(name) for name in names if isinstance(name, str | bytes)]
    where = f"{' -> '.join(paths)}: " if paths else ""
    if not isinstance(error, OSError | MemoryError):
        where = f"{str(error).strip().splitlines()[0][:LONGEST]}: "
    room = _room_of_temporary_files() if number in NO_ROOM and not paths else ""
    return f"{where}{meaning(number)}{room}; {MEANINGS[number][1]}"


def _room_of_temporary_files() -> str:
    """Where a library wrote to is not known; most often it is there."""
    with suppress(OSError):
        folder = tempfile.gettempdir()
        return f"; {folder} has {shutil.disk_usage(folder).free} bytes free"
    return ""
