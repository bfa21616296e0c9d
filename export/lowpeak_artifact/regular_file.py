"""Files that are read, never mapped: one that is cut meanwhile gives an error, where a map gives a signal."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path


def open_regular(path: Path) -> FileIO:
    """Of a file that the user named, by a link, too; without a buffer. Raises OSError, also for what is no
    regular file: it might never open, or never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is no regular file; copy it to one", str(path))
    return FileIO(descriptor, "rb")


def read_into(descriptor: int, offset: int, buffer: memoryview) -> None:
    """Fills `buffer`, of bytes, with those from `offset` on. Raises OSError when the file ends before."""
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if count == 0:
            raise OSError(
                errno.EIO,
                f"it ends at byte {offset + done} instead of {offset + len(buffer)} or later: it was cut "
                "short while it was read",
            )
        done += count
