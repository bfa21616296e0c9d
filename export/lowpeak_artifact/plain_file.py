"""Files of a folder that comes from anywhere, opened by name: regular files only, and nothing is waited for.

A FIFO would block whoever opens it, a device never ends, a link leads elsewhere.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from lowpeak_artifact.errors import ArtifactError


def is_plain_name(name: str) -> bool:
    """Whether a file of that name lies directly in the folder, on every system."""
    return (
        name not in ("", ".", "..")
        and len(name) <= 255
        and not any(c in '/\\:"<>|?*' or c < " " or c == "\x7f" for c in name)
    )


def open_plain(folder: Path, name: str, what: str) -> BinaryIO:
    """`what`: the folder, in words. Raises ArtifactError for what is missing or no regular file."""
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ArtifactError(f"{name} is missing from {what}; copy or compile it again") from error
    except (OSError, ValueError) as error:
        if path.is_symlink():
            raise ArtifactError(
                f"{name} of {what} is a link to {os.readlink(path)}; links are not followed: copy the file "
                "in its place"
            ) from error
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArtifactError(f"{name} of {what} is no regular file; copy or compile it again")
    return os.fdopen(descriptor, "rb")


def read_plain(folder: Path, name: str, what: str, most_bytes: int) -> bytes:
    """The whole file. Raises ArtifactError as `open_plain`, and for more bytes than `most_bytes`."""
    with open_plain(folder, name, what) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most_bytes:
            try:
                data = file.read(most_bytes + 1)
            except OSError as error:
                raise ArtifactError(f"{folder / name} cannot be read: {error}") from error
            size = len(data)
        if size > most_bytes:
            raise ArtifactError(
                f"{name} of {what} has {size} bytes, the most that is read is {most_bytes}; copy or compile "
                "it again",
                bytes=size,
            )
    return data
