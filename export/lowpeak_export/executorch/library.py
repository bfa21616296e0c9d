"""The native parts: the kernels of the `lowpeak::` operators for ExecuTorch, and the trainer of no Python.

Where they are, in this order: what an environment variable says; in the installed package, lowpeak/native/;
in a checkout, native/build/.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
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


class KernelSession:
    """What our kernels keep for the programs of one session: the file that they store values in.

    Programs that are executed within `entered` belong to it; sessions of a process know nothing of each
    other. `close()` ends it, and so does the end of this object.
    """

    def __init__(self) -> None:
        """Raises EnvironmentProblem as `load_ops`."""
        self._ops = load_ops()
        for name, arguments, result in (
            ("open", (), ctypes.c_void_p),
            ("close", (ctypes.c_void_p,), None),
            ("enter", (ctypes.c_void_p,), ctypes.c_void_p),
            ("offload_open", (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64), ctypes.c_char_p),
            ("offload_failure", (ctypes.c_void_p,), ctypes.c_char_p),
        ):
            function = getattr(self._ops, f"lowpeak_session_{name}")
            function.argtypes, function.restype = arguments, result
        self._handle = self._ops.lowpeak_session_open()
        self.close = weakref.finalize(self, self._ops.lowpeak_session_close, self._handle)

    def open_offload_file(self, folder: str, nbytes: int) -> None:
        """Makes the file in `folder` that the session's programs store values in, `nbytes` large.

        Raises EnvironmentProblem when the disk has no room for it.
        """
        problem = self._ops.lowpeak_session_offload_open(self._handle, os.fsencode(folder), nbytes)
        if problem is not None:
            raise EnvironmentProblem(
                f"the offload file of {nbytes} bytes cannot be kept in {folder}: {problem.decode()}; free "
                f"{nbytes} bytes or give another folder",
                bytes=nbytes,
            )

    def offload_failure(self) -> str:
        """What went wrong when values were stored or loaded; empty if nothing."""
        return str(self._ops.lowpeak_session_offload_failure(self._handle).decode())

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Programs that this thread executes meanwhile are the session's."""
        before = self._ops.lowpeak_session_enter(self._handle)
        try:
            yield
        finally:
            self._ops.lowpeak_session_enter(before)


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
