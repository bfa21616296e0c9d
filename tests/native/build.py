"""Builds native/ with CMake and Ninja, once a session and a state of the sources."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_SOURCES = Path(__file__).resolve().parents[2] / "native"


@cache
def build(sanitize: bool = False) -> Path:
    """The path of the shared library `lowpeak_kernels_c`; RuntimeError if the tools are not there or fail.

    `lowpeak_ops` lies beside it. Later sessions reuse the folder, where Ninja rebuilds what changed.
    """
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++")
    if not any(map(shutil.which, compilers)) or not all(map(shutil.which, ("cmake", "ninja"))):
        raise RuntimeError("tests/native need cmake, ninja and a C++17 compiler on the PATH")
    checkout = hashlib.sha256(str(_SOURCES).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"lowpeak-native-{checkout}{'-sanitized' if sanitize else ''}"
    options = [f"-DLOWPEAK_SANITIZE={'ON' if sanitize else 'OFF'}", "-DLOWPEAK_EXECUTORCH=ON"]
    options.append(f"-DPython_EXECUTABLE={sys.executable}")
    _run(["cmake", "-S", str(_SOURCES), "-B", str(folder), "-G", "Ninja", *options])
    _run(["cmake", "--build", str(folder)])
    return folder / "liblowpeak_kernels_c.so"


@cache
def load() -> ctypes.CDLL:
    """The library; LOWPEAK_SANITIZE=1 in the environment for a build with sanitizers.

    Python then has to run with the sanitizer preloaded: LD_PRELOAD=$(g++ -print-file-name=libasan.so).
    """
    return ctypes.CDLL(str(build(os.environ.get("LOWPEAK_SANITIZE") == "1")))


def _run(command: list[str]) -> None:
    # The sanitizer that Python has preloaded is not for compilers.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-8000:]}{done.stderr[-8000:]}")
