"""What only Linux has: /proc, control groups, and calls of its C library. Nothing else of lowpeak names them.

Elsewhere (macOS) each says so: by None, by False, or by doing what the docstring says instead.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from pathlib import Path
from typing import Any

from lowpeak_artifact.errors import EnvironmentProblem

PROC = Path("/proc")
MOUNTS = PROC / "self/mountinfo"
"""The file systems, one a line; see proc(5). Elsewhere the file is missing."""
LOCKS = PROC / "locks"
"""Who has locked which file. Elsewhere the file is missing."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_PR_SET_THP_DISABLE = 41
_OF_MEMORY = {b"VmRSS", b"RssAnon", b"RssFile"}


def processors() -> int:
    """How many this process may use; elsewhere all that there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def require_measured_memory() -> None:
    """Raises EnvironmentProblem where `memory_lines` does not tell: a run could not be held to its budget."""
    if memory_lines(None) is None:
        raise EnvironmentProblem(
            "training measures what its process holds, which only Linux tells (/proc): train on Linux, or on "
            "a phone with lowpeak deploy; compile, estimate and simulate work here"
        )


def memory_lines(pid: int | None) -> dict[str, int] | None:
    """Bytes that the process holds, by default this one: VmRSS, RssAnon and RssFile of proc(5), of which one
    that has ended but was not waited for has none. None once it is gone, and elsewhere.
    """
    try:
        status = (PROC / str(pid or "self") / "status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    lines = (line.partition(b":") for line in status.splitlines())
    return {key.decode(): int(value.split()[0]) * 1024 for key, _, value in lines if key in _OF_MEMORY}


def memory_controller() -> Path | None:
    """Where the memory controller of control groups (version 1) is mounted."""
    try:
        mounts = [line.split() for line in (PROC / "self/mounts").read_text().splitlines()]
    except OSError:
        return None
    named = (Path(place) for _, place, kind, options, *_ in mounts if _has_memory(kind, options))
    return next(named, None)


def _has_memory(kind: str, options: str) -> bool:
    return kind == "cgroup" and "memory" in options.split(",")


def limit_address_space(more_bytes: int) -> bool:
    """This process may map so many bytes more than now, from now on -> whether it is so. Elsewhere nothing
    happens: macOS knows the limit's name and does not keep it.
    """
    try:
        pages = int((PROC / "self/statm").read_text(encoding="ascii").split()[0])
    except FileNotFoundError:
        return False
    most = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return True


def refuse_huge_pages() -> None:
    """For this process from now on, whatever the system is set to. Where the kernel has none nothing happens.

    A huge page takes megabytes for the first byte of it, which no plan knows of.
    """
    if control := _of_the_library("prctl"):
        control(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def return_freed_memory() -> None:
    """What the C library keeps of freed memory goes back to the system; elsewhere it stays."""
    if trim := _of_the_library("malloc_trim"):
        trim(0)


def allocate(descriptor: int, nbytes: int) -> None:
    """Blocks for the file, where the file system can give them at once; OSError when there are too few.

    Not by posix_fallocate, which writes every block where the file system cannot.
    """
    if not (fallocate := _of_the_library("fallocate")):
        return
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while fallocate(descriptor, 0, 0, nbytes) != 0:
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM):
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def exchange(one: Path, other: Path) -> bool:
    """Swaps two folders at once -> whether that was done."""
    swap = _of_the_library("renameat2")
    if not swap:
        return False
    places = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(swap(*places, _RENAME_EXCHANGE) == 0)


def _of_the_library(name: str) -> Any:
    """The C library's function; None where it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
