"""NEON kernels on any machine: cross-compiled, run by qemu as a Cortex-A53.

Needs Debian's g++-aarch64-linux-gnu and qemu-user-static, and fails without. Slow: it runs by name only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_KERNELS = Path(__file__).parents[2] / "native" / "kernels"
_SOURCES = [
    _KERNELS / f"{name}.cpp"
    for subject in ("attention", "elementwise")
    for name in (subject, f"{subject}_generic", f"{subject}_neon")
]


@pytest.mark.slow
def test_neon_equals_generic(tmp_path: Path) -> None:
    program = tmp_path / "aarch64"
    subprocess.run(
        [
            *("aarch64-linux-gnu-g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"),
            *("-DLOWPEAK_HAVE_NEON", f"-I{_KERNELS}", "-o", str(program)),
            *map(str, [*_SOURCES, _KERNELS / "cpu.cpp", Path(__file__).with_name("aarch64.cpp")]),
        ],
        check=True,
    )
    emulator = ["qemu-aarch64-static", "-cpu", "cortex-a53", "-L", "/usr/aarch64-linux-gnu"]
    done = subprocess.run([*emulator, str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
