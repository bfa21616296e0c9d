"""Disks without room: small real file systems, mounted by root, and limits of the size of files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal


@contextmanager
def mounted(
    folder: Path, nbytes: int, kind: Literal["ext4", "tmpfs"] = "ext4", options: str = ""
) -> Iterator[Path]:
    """Such a file system at `folder`, which is made; an ext4 lies in a file beside it."""
    folder.mkdir()
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={nbytes}{options and ','}{options}", "none", str(folder))
    else:
        image = folder.with_suffix(".image")
        with image.open("wb") as file:
            file.truncate(nbytes)
        _run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image))
        _run("mount", "-o", f"loop{options and ','}{options}", str(image), str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


def fill(folder: Path, but: int = 0) -> Path:
    """A file that takes all the room but so many bytes."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as sink:
        try:
            while True:
                sink.write(bytes(1 << 16))
        except OSError:
            sink.truncate(max(0, sink.tell() - but - (1 << 12)))
    return file


def children() -> list[int]:
    """Processes that this one has started."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def no_more_room(nbytes: int) -> None:
    """The processes started may make no longer files from now on, as on a full disk, and are asked to end."""
    for pid in children():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (nbytes, nbytes))
        os.kill(pid, signal.SIGTERM)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
