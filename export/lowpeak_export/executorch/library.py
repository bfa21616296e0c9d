"""The native parts: the kernels of the `lowpeak::` operators for ExecuTorch, and the trainer of no Python.

Where they are, in this order: what an environment variable says; in the installed package, lowpeak/native/;
in a checkout, native/build/.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path

from lowpeak_artifact.errors import EnvironmentProblem

LOWPEAK = "lowpeak"
"""The kernel set that needs the library."""

OPS = "liblowpeak_ops.so"
OPS_VARIABLE = "LOWPEAK_OPS_LIBRARY"
RUNNER = "lowpeak-runner"
RUNNER_VARIABLE = "LOWPEAK_RUNNER"
_INSTALLED = files("lowpeak") / "native"
_BUILT = Path(__file__).resolve().parents[3] / "native" / "build"
COMPILERS = ("c++", "g++", "clang++")
INSTALL = "pip install --verbose --force-reinstall --no-deps ."


def ops_library() -> Path:
    """The library of the kernels; LOWPEAK_OPS_LIBRARY names another one.

    Raises EnvironmentProblem with what is missing and the command that builds it.
    """
    place = _find(OPS_VARIABLE, f"lib/{OPS}", OPS)
    if place is None:
        raise EnvironmentProblem(
            f"kernels='lowpeak' need {_missing(OPS_VARIABLE, OPS)}: {remedy()}, or use kernels='stock'"
        )
    return place


def runner_program() -> Path | None:
    """lowpeak-runner, if it is there; LOWPEAK_RUNNER names another one."""
    return _find(RUNNER_VARIABLE, f"bin/{RUNNER}", f"trainer/{RUNNER}")


def require_runner(purpose: str) -> Path:
    """lowpeak-runner. Raises EnvironmentProblem with what is missing and the command that builds it."""
    place = runner_program()
    if place is None:
        raise EnvironmentProblem(f"{purpose} needs {_missing(RUNNER_VARIABLE, RUNNER)}: {remedy()}")
    return place


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
            f"{path} does not fit the installed ExecuTorch ({error}): {remedy()}"
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


def _find(variable: str, installed: str, built: str) -> Path | None:
    named = os.environ.get(variable)
    places = [Path(named)] if named else [Path(str(_INSTALLED / installed)), _BUILT / built]
    return next((place for place in places if place.is_file()), None)


def _missing(variable: str, name: str) -> str:
    named = os.environ.get(variable)
    return (
        f"{named}, which {variable} names" if named else f"{name}, and this installation of lowpeak has none"
    )


def remedy() -> str:
    """How the native parts are installed here."""
    compiler = "" if any(map(shutil.which, COMPILERS)) else "install a C++17 compiler (g++ or clang++), then "
    return f"{compiler}run `{INSTALL}` in the checkout of lowpeak"
