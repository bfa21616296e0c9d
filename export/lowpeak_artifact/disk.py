"""Disks: which one a folder lies on, and whether it can be written and has room, asked before any work."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.linux import MOUNTS, allocate
from lowpeak_artifact.make_folder import ATTEMPTS, make_folder
from lowpeak_artifact.system_errors import NO_ROOM, meaning, number_of, remedy_of

T = TypeVar("T")
IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})
NOT_OF_THE_DISK = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
RAM_DISKS = ("/dev/ram", "/dev/zram")
TMPDIR_REMEDY = "name a folder on another disk by TMPDIR"
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How a space in a path is written there."""


@dataclass(frozen=True)
class Mount:
    """The file system that a folder lies in, as Linux tells."""

    point: str
    kind: str
    source: str

    @staticmethod
    def of(folder: Path, mounts: Path = MOUNTS) -> Mount:
        """Of a folder that may be still to be made; without a name where the system does not tell."""
        try:
            lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return Mount("", "", "")
        known = {}
        for line in lines:
            fields, _, rest = line.partition(" - ")
            point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields.split()[4])
            kind, source = rest.split()[:2]
            known[point] = Mount(point, kind, source)
        place = folder.resolve()
        point = next((str(each) for each in (place, *place.parents) if str(each) in known), "/")
        return known.get(point, Mount("", "", ""))

    @property
    def in_memory(self) -> bool:
        """What is written there takes memory, and no count of a process shows it."""
        return self.kind in IN_MEMORY or self.source.startswith(RAM_DISKS)

    def __str__(self) -> str:
        return f"{self.kind} at {self.point}" if self.kind else "its file system"


@dataclass(frozen=True)
class Need:
    """Files that will be written to a folder, which may be still to be made; their sizes in bytes."""

    folder: Path
    files: tuple[int, ...]
    what: str
    """That they are, for the message: `the artifact`."""
    remedy: str = "give a folder on another disk"
    times: int = 1
    """How often there are such files; they are tried once."""

    @property
    def nbytes(self) -> int:
        return self.times * sum(self.files)


def require_room(*needs: Need) -> None:
    """Tries the folders: a file is made in each and written, and the file system asked for the blocks of all
    that will be. Nothing is left of that, folders neither.

    Raises EnvironmentProblem, with the folder, its file system and the bytes needed and free, when a folder
    cannot be written, or its disk has no room for all that is needed there.
    """
    devices = [_device(need.folder) for need in needs]
    wanted: Counter[int] = Counter()
    for need, device in zip(needs, devices, strict=True):
        wanted[device] += need.nbytes
    with ExitStack() as stack:
        for need, device in zip(needs, devices, strict=True):
            free = free_bytes(need.folder)
            if free < wanted[device] and need.nbytes:
                raise _refusal(need, errno.ENOSPC, wanted[device], free)
            try:
                stack.enter_context(_trial_files(need))
            except OSError as error:
                raise _refusal(need, error.errno or 0, wanted[device], free_bytes(need.folder)) from error


def require_no_dead_link(path: Path) -> None:
    """Raises EnvironmentProblem for a link to what is not there, of which the system says that it exists."""
    if path.is_symlink() and not path.exists():
        raise EnvironmentProblem(
            f"{path} is a link to {os.readlink(path)}, which is missing: make that, or give another path"
        )


def cannot_write(what: str, path: Path, error: Exception, remedy: str = "") -> EnvironmentProblem:
    """For what could not be written, as the system or a library has said."""
    number = number_of(error)
    why = str(error) if number is None else meaning(number)
    return EnvironmentProblem(f"{what} cannot be written to {path}: {why}; {remedy or remedy_of(number)}")


def free_bytes(folder: Path) -> int:
    """That a user may still write to the folder's file system, as that says; without end if it does not."""
    status = _of_nearest(folder, os.statvfs)
    return status.f_bavail * status.f_frsize if status.f_blocks else sys.maxsize


def cache_folder() -> Path:
    """lowpeak's own, for what can be made again; it need not exist yet."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = Path(configured) if os.path.isabs(configured) else Path.home() / ".cache"
    return base / "lowpeak"


def temporary_folder() -> Path:
    """The system's, or what TMPDIR names. Raises EnvironmentProblem when that is no folder to write to, where
    Python would take another without a word.
    """
    named = os.environ.get("TMPDIR")
    if named and not (os.path.isdir(named) and os.access(named, os.W_OK | os.X_OK)):
        why = "missing" if not os.path.lexists(named) else "a file"
        if os.path.isdir(named):
            why = "not a folder that can be written to"
        raise EnvironmentProblem(
            f"TMPDIR names {named} for temporary files, which is {why}: make it, or name another folder"
        )
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise EnvironmentProblem(
            f"there is no folder for temporary files that can be written to ({error}): name one by TMPDIR"
        ) from error


def _refusal(need: Need, number: int, wanted: int, free: int) -> EnvironmentProblem:
    mount = Mount.of(need.folder)
    in_all = f", and {wanted} on that disk in all" if wanted > need.nbytes else ""
    if number in NO_ROOM:
        why = f"{free} are free there ({mount})"
        if number != errno.ENOSPC:
            why += f", but {meaning(number)}"
        elif free >= wanted:
            names = _of_nearest(need.folder, os.statvfs).f_favail
            why += ", but no more files can be made" if names == 0 else ", but it refuses them"
        message = f"{need.nbytes} bytes are needed in {need.folder} for {need.what}{in_all}; {why}. "
        message += f"Free some, or {need.remedy}"
    else:
        remedy = remedy_of(number) if number in NOT_OF_THE_DISK else need.remedy
        message = f"{need.folder} ({mount}), the place for {need.what}, cannot be written: "
        message += f"{meaning(number)}; {remedy}"
    return EnvironmentProblem(message, needed_bytes=wanted, free_bytes=free)


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    place = Path(os.path.abspath(folder))
    return next(each for each in (place, *place.parents) if os.path.exists(each) or each.parent == each)


def _device(folder: Path) -> int:
    return _of_nearest(folder, lambda place: place.stat().st_dev)


def _of_nearest(folder: Path, look: Callable[[Path], T]) -> T:
    """What is seen of the nearest folder, which another process may remove between two looks."""
    while True:
        try:
            return look(_nearest(folder))
        except FileNotFoundError:
            continue


def _trial_files(need: Need) -> ExitStack:
    """The folder with the trial files in it. Another process may remove the folder, as an empty one, before
    they are there: then it is made again.
    """
    for attempt in range(ATTEMPTS):
        with ExitStack() as stack:
            stack.enter_context(_made(need.folder))
            try:
                for nbytes in (0, *need.files):
                    stack.enter_context(_trial_file(need.folder, nbytes))
            except FileNotFoundError:
                if attempt + 1 < ATTEMPTS:
                    continue
                raise
            return stack.pop_all()
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder is there meanwhile; what was made for that goes again."""
    absent = []
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place):
        absent.append(place)
        place = place.parent
    try:
        make_folder(folder)
        yield
    finally:
        for each in absent:
            with suppress(OSError):
                each.rmdir()


@contextmanager
def _trial_file(folder: Path, nbytes: int) -> Iterator[None]:
    """A file of that size without a name, with its blocks where the file system can give them at once; one of
    no size is written.
    """
    descriptor, name = tempfile.mkstemp(prefix=".lowpeak-room-", dir=folder)
    try:
        os.unlink(name)
        if not nbytes:
            os.write(descriptor, b"trial")
            os.fsync(descriptor)
        # In memory the blocks would be what is short there.
        elif not Mount.of(folder).in_memory:
            allocate(descriptor, nbytes)
        yield
    finally:
        os.close(descriptor)
