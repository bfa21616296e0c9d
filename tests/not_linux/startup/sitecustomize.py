"""Takes from a Python process on Linux what macOS has not: on PYTHONPATH, this is run as each one starts.

For lowpeak's own code: libraries may still read /proc, as those for macOS ask that system instead.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
from typing import Any

OF_OS = (
    "sched_getaffinity",
    "sched_setaffinity",
    "posix_fallocate",
    "posix_fadvise",
    "memfd_create",
    "pidfd_open",
    "eventfd",
    "copy_file_range",
    "splice",
    "getrandom",
    "O_TMPFILE",
    "O_DIRECT",
    "O_PATH",
)
OF_THE_LIBRARY = {"fallocate", "prctl", "renameat2", "malloc_trim"}


def ours_asks() -> bool:
    """Whether the nearest caller outside of Python's own library is lowpeak."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in sys.stdlib_module_names and package != __name__:
            return package.startswith("lowpeak")
    return False


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.fsdecode(arguments[0])
        if path.startswith(("/proc/", "/sys/")) and ours_asks():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def without_linux_calls(library: ctypes.CDLL, name: str) -> Any:
    if name in OF_THE_LIBRARY:
        raise AttributeError(name)
    return of_library(library, name)


def set_limit(which: int, limits: tuple[int, int]) -> None:
    if which == resource.RLIMIT_AS:
        raise ValueError("current limit exceeds maximum limit")
    of_resource(which, limits)


for name in OF_OS:
    vars(os).pop(name, None)
of_library, of_resource = ctypes.CDLL.__getattr__, resource.setrlimit
ctypes.CDLL.__getattr__ = without_linux_calls  # type: ignore[method-assign]
resource.setrlimit = set_limit
sys.addaudithook(audit)
