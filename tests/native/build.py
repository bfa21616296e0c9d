"""Builds native/ with CMake and Ninja, once a session and a state of the sources."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import executorch

SOURCES = Path(__file__).resolve().parents[2] / "native"
SANITIZE = os.environ.get("LOWPEAK_SANITIZE") == "1"
"""Build with sanitizers. Python then has to run with two libraries of the compiler in LD_PRELOAD, what
`g++ -print-file-name=libasan.so` and the same of libstdc++.so print, and with ASAN_OPTIONS=detect_leaks=0."""


@cache
def build() -> Path:
    """The folder where all of native/ is built; RuntimeError if the tools are not there or fail.

    Later sessions reuse it, and Ninja rebuilds what changed.
    """
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++")
    if not any(map(shutil.which, compilers)) or not all(map(shutil.which, ("cmake", "ninja"))):
        raise RuntimeError("tests/native need cmake, ninja and a C++17 compiler on the PATH")
    checkout = hashlib.sha256(f"{SOURCES} {sys.prefix}".encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"lowpeak-native-{checkout}{'-sanitized' if SANITIZE else ''}"
    with folder.with_suffix(".lock").open("w") as lock:
        # Another worker of the tests builds the same.
        fcntl.flock(lock, fcntl.LOCK_EX)
        build_in(folder, f"-DLOWPEAK_SANITIZE={'ON' if SANITIZE else 'OFF'}")
    return folder


def build_in(folder: Path, *options: str, sources: Path = SOURCES) -> None:
    """Configures with CMake's options and builds."""
    python = f"-DPython_EXECUTABLE={sys.executable}"
    run("cmake", "-S", str(sources), "-B", str(folder), "-G", "Ninja", python, *options)
    run("cmake", "--build", str(folder))


def executorch_program(source: Path, ops: Path, out: Path) -> Path:
    """A program of one source file that calls the kernels of an operator library, with its sanitizers."""
    (package,) = map(Path, executorch.__path__)
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all") if SANITIZE else ()
    run(
        *(os.environ.get("CXX", "c++"), "-std=c++17", "-O1", "-g", *sanitizers),
        *("-Wall", "-Wextra", "-Werror"),
        *("-isystem", str(package / "include")),
        *("-isystem", str(package / "include/executorch/runtime/core/portable_type/c10")),
        *("-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_EVENT_TRACER_ENABLED", "-o", str(out), str(source)),
        *(str(ops), str(package / "lib/libexecutorch.so"), f"-Wl,-rpath,{package / 'lib'}:{ops.parent}"),
    )
    return out


@cache
def load() -> ctypes.CDLL:
    """The C API of the kernels."""
    return ctypes.CDLL(str(build() / "kernels" / "liblowpeak_kernels_c.so"))


def run(*command: str) -> None:
    """Runs a tool of the build; RuntimeError with what it said if it fails."""
    # The sanitizer that Python has preloaded is not for compilers.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-8000:]}{done.stderr[-8000:]}")
