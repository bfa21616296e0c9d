"""One process at a time works on a folder. The lock is the system's: it goes with whoever holds it."""

from __future__ import annotations

import fcntl
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from lowpeak_artifact.disk import cannot_write
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.linux import LOCKS
from lowpeak_artifact.make_folder import make_folder
from lowpeak_artifact.temporary import temporary_if_empty

P = ParamSpec("P")
R = TypeVar("R")

TRAINS = "still trains into"
COMPILES = "compiles into"
USES = "still uses"
FOLDER = os.O_RDONLY | os.O_DIRECTORY


@contextmanager
def locked(folder: Path, does: str = TRAINS) -> Iterator[int]:
    """The folder, which is there, is this process's; the descriptor holds the lock, for a child that is given
    it as well.

    `does`: what another process does there that has it. Raises ArtifactError when there is one, with its
    number where the system tells, and EnvironmentProblem when the folder cannot be opened.
    """
    descriptor = _opened(folder)
    try:
        take(descriptor, folder, does)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Nobody replaces the folder meanwhile by `reserved`; others may use it, too.

    Raises ArtifactError when one is replacing it. On a disk without locks nothing is held.
    """
    descriptor = _opened(folder)
    try:
        with suppress(EnvironmentProblem):
            take(descriptor, folder, COMPILES, "artifact", fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def joined(folder: Path, descriptor: int | None) -> Iterator[None]:
    """The folder's lock for a process that was started with `descriptor` of it, which its parent has locked:
    the two hold it together. None: as `locked`. Raises as that.
    """
    if descriptor is None:
        with locked(folder):
            yield
        return
    if not is_at(descriptor, folder):
        raise EnvironmentProblem(f"the descriptor {descriptor} is not of the folder {folder}")
    os.set_inheritable(descriptor, False)
    take(descriptor, folder, TRAINS)
    yield


@contextmanager
def reserved(path: Path, does: str) -> Iterator[None]:
    """What is to be made at `path` is this process's to make, from now on; beside it there is an empty folder
    meanwhile, which the next one takes over if this one is killed. A folder that is there already is used by
    nobody else meanwhile. Raises as `locked`.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    place = path.with_name(f".{path.name}.lock")
    try:
        while True:
            try:
                make_folder(place)
            except OSError as error:
                raise cannot_write(f"the folder {path.name}", path.parent, error) from error
            try:
                descriptor = os.open(place, FOLDER)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _cannot_open(place, error) from error
            try:
                take(descriptor, path, does)
                # Its holder may have removed it, here after it was opened and above before.
                if not is_at(descriptor, place):
                    continue
                try:
                    with (
                        temporary_if_empty(*reversed(missing), place),
                        locked(path, USES) if path.is_dir() else nullcontext(),
                    ):
                        yield
                finally:
                    place.rmdir()
                return
            finally:
                os.close(descriptor)
    finally:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()


def reserving(does: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function that makes something at its keyword argument `out`, if given. Raises as `locked`."""

    def decorated(make: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(make)
        def reserved_and_made(*args: P.args, **kwargs: P.kwargs) -> R:
            out = kwargs.get("out")
            with nullcontext() if out is None else reserved(Path(str(out)).resolve(), does):
                return make(*args, **kwargs)

        return reserved_and_made

    return decorated


def _opened(folder: Path) -> int:
    try:
        return os.open(folder, FOLDER)
    except OSError as error:
        raise _cannot_open(folder, error) from error


def _cannot_open(folder: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(f"the folder {folder} cannot be opened: {error.strerror}")


def take(descriptor: int, what: Path, does: str, instead: str = "folder", kind: int = fcntl.LOCK_EX) -> None:
    """Locks what the descriptor is of, as long as that is open. Raises as `locked`."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        process = holder(descriptor)
        named = "" if process is None else f" (process {process})"
        raise ArtifactError(
            f"another process{named} {does} {what}: wait for its end, or give a new {instead}",
            **({} if process is None else {"process": process}),
        ) from error
    except OSError as error:
        raise EnvironmentProblem(f"{what} cannot be locked: {error.strerror}; give another disk") from error


def holder(descriptor: int) -> int | None:
    """The process that locked the file or folder, where the system tells."""
    status = os.fstat(descriptor)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError):
        for line in LOCKS.read_text(encoding="utf-8", errors="replace").splitlines():
            # "1: FLOCK  ADVISORY  WRITE 123 fe:00:45 0 EOF"; "->" begins one who waits.
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == place and int(fields[4]) > 0:
                return int(fields[4])
    return None


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the folder that the descriptor is of still has that path."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False
