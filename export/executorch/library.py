"""The native parts: the kernels of the `lowpeak::` operators for ExecuTorch, and the trainer of no Python."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from compiler.errors import EnvironmentProblem

LOWPEAK = "lowpeak"
"""The kernel set that needs the library."""

OPS = "liblowpeak_ops.so"
OPS_VARIABLE = "LOWPEAK_OPS_LIBRARY"
RUNNER = "trainer/lowpeak-runner"
RUNNER_VARIABLE = "LOWPEAK_RUNNER"
_CHECKOUT = Path(__file__).resolve().parents[2]
_BUILT = _CHECKOUT / "native" / "build"
BUILD = (
    "cmake -S native -B native/build -DLOWPEAK_EXECUTORCH=ON -DLOWPEAK_RUNNER=ON "
    "-DPython_EXECUTABLE=$(which python) && cmake --build native/build"
)


def ops_library() -> Path:
    """Where the kernels are: what the variable LOWPEAK_OPS_LIBRARY says, else where they are built.

    Raises EnvironmentProblem with the command that builds them.
    """
    place = _place(OPS_VARIABLE, OPS)
    if not place.is_file():
        raise EnvironmentProblem(
            f"kernels='lowpeak' need the native library, and there is no {place}: run `{BUILD}` in "
            f"{_CHECKOUT}, or use kernels='stock'"
        )
    return place


def runner_program() -> Path | None:
    """lowpeak-runner: what the environment variable LOWPEAK_RUNNER says, else where a build puts it, if it is
    there."""
    place = _place(RUNNER_VARIABLE, RUNNER)
    return place if place.is_file() else None


def _place(variable: str, name: str) -> Path:
    named = os.environ.get(variable)
    return Path(named) if named else _BUILT / name


@cache
def load_ops() -> ctypes.CDLL:
    """Registers the kernels with the ExecuTorch runtime of this process; only once, for twice is fatal there.

    Raises EnvironmentProblem when the library is not there or does not fit the installed ExecuTorch.
    """
    path = ops_library()
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} does not fit the installed ExecuTorch ({error}): build it anew with `{BUILD}` in "
            f"{_CHECKOUT}"
        ) from error


def open_offload_file(folder: str, nbytes: int) -> None:
    """Makes the file in `folder` that programs with our kernels store values in, `nbytes` large.

    Raises EnvironmentProblem when the disk has no room for it.
    """
    opener = load_ops().lowpeak_offload_open
    opener.argtypes, opener.restype = (ctypes.c_char_p, ctypes.c_int64), ctypes.c_char_p
    problem = opener(os.fsencode(folder), nbytes)
    if problem is not None:
        raise EnvironmentProblem(
            f"the offload file of {nbytes} bytes cannot be kept in {folder}: {problem.decode()}; free "
            f"{nbytes} bytes or give another folder",
            bytes=nbytes,
        )


def offload_failure() -> str:
    """What went wrong when values were stored or loaded; empty if nothing."""
    failure = load_ops().lowpeak_offload_failure
    failure.restype = ctypes.c_char_p
    return str(failure().decode())
