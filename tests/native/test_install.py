"""What is installed of native/, beside the executorch package: nothing in it knows where it was built."""

from __future__ import annotations

import subprocess
from pathlib import Path

import executorch

from tests.native.build import SOURCES, build, run

RUNPATH = "[$ORIGIN/../../../executorch/lib]"


def test_installed_files_find_executorch_beside_them(tmp_path: Path) -> None:
    run("cmake", "--install", str(build()), "--prefix", str(tmp_path), "--strip")
    native = tmp_path / "lowpeak" / "native"
    library, program = native / "lib" / "liblowpeak_ops.so", native / "bin" / "lowpeak-runner"
    assert sorted(file for file in tmp_path.rglob("*") if file.is_file()) == [program, library]
    for file in (library, program):
        dynamic = subprocess.run(["readelf", "-d", str(file)], capture_output=True, text=True, check=True)
        paths = [line.split()[-1] for line in dynamic.stdout.splitlines() if "PATH" in line]
        assert paths == [RUNPATH]
        assert str(SOURCES).encode() not in file.read_bytes()
    (tmp_path / "executorch").symlink_to(next(iter(executorch.__path__)))
    done = subprocess.run([str(program)], capture_output=True, text=True, env={}, check=False)
    assert done.returncode == 2
    assert "lowpeak-runner: no job is given" in done.stderr and "usage: lowpeak-runner" in done.stderr
