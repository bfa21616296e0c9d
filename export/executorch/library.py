"""The native library with the kernels of the `lowpeak::` operators for ExecuTorch: found and loaded."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from compiler.errors import EnvironmentProblem

LOWPEAK = "lowpeak"
"""The kernel set that needs it."""

NAME = "liblowpeak_ops.so"
VARIABLE = "LOWPEAK_OPS_LIBRARY"
_CHECKOUT = Path(__file__).resolve().parents[2]
PLACES = (_CHECKOUT / "native" / "build" / NAME,)
BUILD = (
    "cmake -S native -B native/build -DLOWPEAK_EXECUTORCH=ON -DPython_EXECUTABLE=$(which python) && "
    "cmake --build native/build"
)


def ops_library() -> Path:
    """Where it is: what the environment variable LOWPEAK_OPS_LIBRARY says, else where a build puts it.

    Raises EnvironmentProblem with the command that builds it.
    """
    named = os.environ.get(VARIABLE)
    places = (Path(named),) if named else PLACES
    for place in places:
        if place.is_file():
            return place
    raise EnvironmentProblem(
        f"kernels='lowpeak' need the native library, and there is no {places[0]}: run `{BUILD}` in "
        f"{_CHECKOUT}, or use kernels='stock'"
    )


@cache
def load_ops() -> None:
    """Registers the kernels with the ExecuTorch runtime of this process; only once, for twice is fatal there.

    Raises EnvironmentProblem when the library is not there or does not fit the installed ExecuTorch.
    """
    path = ops_library()
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} does not fit the installed ExecuTorch ({error}): build it anew with `{BUILD}` in "
            f"{_CHECKOUT}"
        ) from error
