"""native/ as a Cortex-A53 runs it: cross-compiled against ExecuTorch's aarch64 wheel, emulated.

Needs Debian's g++-aarch64-linux-gnu and qemu-user-static, and fails without. Slow: it runs by name only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

from lowpeak import compile_for_device
from lowpeak.phone.runner import find_runner
from lowpeak_export.executorch import library
from lowpeak_runtime.train import trainer
from lowpeak_runtime.train.command import Command
from lowpeak_runtime.train.optimizer import OptimizerOptions
from tests.native import bionic
from tests.native.build import SOURCES, build, build_in, run
from tests.native.encoding import Run, by_runner, fast, records, write_lines
from tests.native.test_eval import over
from tests.native.tokenizer_families import FAMILIES, smollm2, strings
from tests.native.tokenizing import compile_program, encoded
from tests.runtime_py.chat import templates
from tests.runtime_py.trainable import several_batches
from tests.tiny import tiny_llama

pytestmark = pytest.mark.slow

COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = ("qemu-aarch64-static", "-cpu", "cortex-a53", "-L", "/usr/aarch64-linux-gnu")
C_LIBRARY = (
    *("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"),
    *("libgcc_s.so.1", "libstdc++.so.6"),
)


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build for aarch64."""
    folder = tmp_path_factory.mktemp("aarch64")
    platform = ("--platform", "manylinux_2_28_aarch64", "--python-version", "3.11", "--only-binary=:all:")
    wheel = f"executorch=={version('executorch')}"
    run(sys.executable, "-m", "pip", "download", wheel, "--no-deps", *platform, "--dest", str(folder))
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    build_in(
        folder / "build",
        *(
            "-DCMAKE_SYSTEM_NAME=Linux",
            "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
            f"-DCMAKE_CXX_COMPILER={COMPILER}",
        ),
        # As for Android: a library of helpers that choose atomics at run time is not on every phone.
        "-DCMAKE_CXX_FLAGS=-mno-outline-atomics",
        f"-Dexecutorch_ROOT={folder / 'executorch'}",
    )
    return folder / "build"


def test_neon_equals_generic(cross: Path, tmp_path: Path) -> None:
    program = tmp_path / "aarch64"
    run(
        *(
            COMPILER,
            "-std=c++17",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
            f"-I{SOURCES}",
        ),
        *(
            "-o",
            str(program),
            str(Path(__file__).with_name("aarch64.cpp")),
            str(cross / "kernels" / "liblowpeak_kernels.a"),
        ),
    )
    done = subprocess.run([*EMULATOR, str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_called_is_on_android_9_and_loads_with_pages_of_16_kb(cross: Path) -> None:
    files = [cross / "trainer" / library.RUNNER, cross / library.OPS]
    bionic.require_on_android(*files)
    for file in files:
        alignments = bionic.alignments(file)
        assert len(alignments) >= 2 and set(alignments) == {16384}, file


@pytest.fixture(scope="module")
def for_a_phone(cross: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that docs/android.md makes: the runner with a loader and a C library of its own."""
    folder = tmp_path_factory.mktemp("phone")
    libraries = Path("/usr/aarch64-linux-gnu/lib")
    for place in (
        cross / "trainer" / library.RUNNER,
        cross / library.OPS,
        *(cross.parent / "executorch" / "lib").glob("libexecutorch*.so"),
        *(libraries / name for name in C_LIBRARY),
    ):
        shutil.copy(place, folder)
    return folder


def test_trains_as_this_machine_does_also_with_a_c_library_of_its_own(
    cross: Path, for_a_phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = compile_for_device(
        tiny_llama(), budget_mb=40, seq_len=24, kernels="lowpeak", out=tmp_path / "artifact"
    )
    data = several_batches(artifact.manifest.largest.batch, 4)

    def losses(command: Sequence[str]) -> tuple[float, ...]:
        started = Command("native", (*command, "--metrics"), {})
        monkeypatch.setattr(trainer, "worker_command", lambda *_: started)
        options = OptimizerOptions(learning_rate=5e-3)
        return trainer.train(artifact, data, steps=8, optimizer=options).losses

    def of_build(folder: Path) -> list[str]:
        program = str(folder / "trainer" / library.RUNNER)
        return [program, "--ops-library", str(folder / library.OPS)]

    expected = losses(of_build(build()))
    assert expected[-1] < expected[0]
    emulated = losses([*EMULATOR, *of_build(cross)])
    assert emulated == pytest.approx(expected, abs=1e-5)

    # No library of this machine's folder for aarch64, which a phone has not.
    runner = find_runner(for_a_phone)
    assert {file.abi for file in runner.files} == {"arm64-v8a"}
    assert min(file.alignment for file in runner.files) >= 16384
    monkeypatch.setenv("LD_LIBRARY_PATH", str(for_a_phone))
    command = runner.command(PurePosixPath(for_a_phone), "lowpeak")
    assert losses([*EMULATOR[:3], *command]) == emulated


def test_encodes_and_evaluates_as_this_machine_does(cross: Path, tmp_path: Path) -> None:
    artifact = compile_for_device(
        tiny_llama(vocab_size=2100),
        budget_mb=40,
        seq_len=64,
        tokenizer=fast(smollm2(), templates.DEFAULT_SYSTEM),
        kernels="lowpeak",
        out=tmp_path / "artifact",
    )
    data = write_lines(tmp_path / "data.jsonl", records("messages", 20))
    emulated = [*EMULATOR, str(cross / "trainer" / library.RUNNER)]
    ours, event = by_runner(artifact.path, data, tmp_path / "ours", Run(6))
    theirs, told = by_runner(artifact.path, data, tmp_path / "theirs", Run(6), emulated)
    assert ours and theirs == ours
    assert told["data"] == event["data"] and told["tokens"] == event["tokens"]
    expected = over(artifact, tmp_path / "ours", 6, tmp_path)
    actual = over(artifact, tmp_path / "theirs", 6, tmp_path, program=emulated, operators=cross / library.OPS)
    assert actual["labels"] == expected["labels"]
    assert actual["loss"] == pytest.approx(expected["loss"], abs=1e-5)


def test_tokenizes_as_this_machine_does(cross: Path, tmp_path: Path) -> None:
    compile_program(COMPILER, cross, tmp_path / "tokenize")
    texts = [text.encode() for text in strings(200, seed=3)]
    for name, family in FAMILIES.items():
        file = tmp_path / f"{name}.json"
        family().save(str(file))
        command = [*EMULATOR, str(tmp_path / "tokenize")]
        assert encoded(file, texts, command=command) == encoded(file, texts)
