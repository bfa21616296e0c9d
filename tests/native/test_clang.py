"""native/ built by clang with libc++, as for Android: it trains, and an ExecuTorch built for Android has all
that it needs by the same names.

Needs Debian's clang, lld, libc++-dev and libc++abi-dev, and npm; fails without.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from lowpeak import compile_for_device
from lowpeak_export.executorch import library
from lowpeak_runtime.train import trainer
from lowpeak_runtime.train.command import Command
from lowpeak_runtime.train.optimizer import OptimizerOptions
from tests.native import bionic
from tests.native.build import SOURCES, build, build_in, run
from tests.runtime_py.trainable import several_batches
from tests.tiny import tiny_llama

pytestmark = pytest.mark.android

FOR_ANDROID = "react-native-executorch@0.9.3"
"""Carries ExecuTorch for Android, built with the NDK; its own code is not used."""
VA_LIST = {"x86_64": "P13__va_list_tag", "arm64-v8a": "St9__va_list"}
"""In the names of functions."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clang")
    build_in(
        folder,
        "-DCMAKE_CXX_COMPILER=clang++",
        "-DCMAKE_CXX_FLAGS=-stdlib=libc++ -Werror",
        "-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld",
        "-DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=lld",
    )
    return folder


def test_trains_as_gcc_s_build_does(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compile_for_device(
        tiny_llama(), budget_mb=40, seq_len=24, kernels="lowpeak", out=tmp_path / "artifact"
    )
    data = several_batches(artifact.manifest.largest.batch, 4)

    def losses(folder: Path) -> tuple[float, ...]:
        program, ops = folder / "trainer" / library.RUNNER, folder / library.OPS
        command = Command("native", (str(program), "--ops-library", str(ops), "--metrics"), {})
        monkeypatch.setattr(trainer, "worker_command", lambda *_: command)
        options = OptimizerOptions(learning_rate=5e-3)
        return trainer.train(artifact, data, steps=8, optimizer=options).losses

    expected = losses(build())
    assert expected[-1] < expected[0]
    assert losses(built) == pytest.approx(expected, abs=1e-5)


def test_all_that_is_called_is_on_android_9(built: Path) -> None:
    files = [built / "trainer" / library.RUNNER, built / library.OPS]
    bionic.require_on_android(*files)
    assert {alignment for file in files for alignment in bionic.alignments(file)} == {16384}


def test_no_header_hides_one_of_the_system() -> None:
    # In the folders that the build searches for headers.
    ours = {path.name for folder in (SOURCES, SOURCES / "kernels") for path in folder.glob("*.h")}
    said = subprocess.run(
        ["clang++", "-stdlib=libc++", "-E", "-v", "-x", "c++", "/dev/null"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    listed = said.partition("search starts here:\n#include <...>")[2].partition("\nEnd of search list")[0]
    folders = [Path(line.strip()) for line in listed.splitlines()[1:]]
    assert any((folder / "math.h").exists() for folder in folders)
    assert [name for name in sorted(ours) if any((folder / name).exists() for folder in folders)] == []


@pytest.fixture(scope="module")
def for_android(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ExecuTorch's library for each ABI."""
    folder = tmp_path_factory.mktemp("npm")
    run("npm", "pack", FOR_ANDROID, "--silent", "--pack-destination", str(folder))
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        libraries = "package/third-party/android/libs/executorch/"
        archive.extractall(
            folder, [member for member in archive if member.name.startswith(libraries)], filter="data"
        )
        return folder / libraries


def executorch_names(file: Path, which: str) -> set[str]:
    listed = subprocess.run(["nm", "-D", which, file], capture_output=True, text=True, check=True).stdout
    return {name for line in listed.splitlines() if "10executorch" in (name := line.split()[-1])}


@pytest.mark.parametrize("abi", VA_LIST)
def test_executorch_for_android_has_all_that_is_needed(built: Path, for_android: Path, abi: str) -> None:
    needed = {
        name.replace(VA_LIST["x86_64"], VA_LIST[abi])
        for file in (built / "trainer" / library.RUNNER, built / library.OPS)
        for name in executorch_names(file, "--undefined-only")
    }
    assert len(needed) > 25
    there = executorch_names(for_android / abi / "libexecutorch.so", "--defined-only")
    assert sorted(needed - there) == []
