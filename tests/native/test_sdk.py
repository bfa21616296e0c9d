"""Which ExecuTorch native/ is built against, a wheel or the install tree of a build from source, and what is
refused.

The tree here has the targets of one, and empty archives: it is configured with, not linked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import executorch
import pytest

from tests.native.build import SOURCES, run

pytestmark = pytest.mark.android

RUNTIME = ("executorch_core", "extension_data_loader", "extension_flat_tensor", "extension_threadpool")
KERNELS = ("executorch", "optimized_native_cpu_ops_lib", "quantized_ops_lib")
HEADER = "extension/flat_tensor/flat_tensor_data_map.h"


def install_tree(folder: Path, *, without: str = "", whole: bool = True, more: str = "") -> Path:
    """As ExecuTorch's install() writes it: kernels say themselves that they are linked whole."""
    lines = ["set(EXECUTORCH_INCLUDE_DIRS)", "set(executorch_FOUND TRUE)", more]
    for name in (*RUNTIME, *KERNELS):
        if name == without:
            continue
        archive = folder / "lib" / f"lib{name}.a"
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(b"!<arch>\n")
        lines += [
            f"add_library({name} STATIC IMPORTED)",
            f'set_target_properties({name} PROPERTIES IMPORTED_LOCATION "{archive}")',
        ]
        if name in KERNELS and whole:
            option = f"SHELL:LINKER:--whole-archive $<TARGET_FILE:{name}> LINKER:--no-whole-archive"
            lines += [f'set_target_properties({name} PROPERTIES INTERFACE_LINK_OPTIONS "{option};{option}")']
            lines += [f"set_target_properties({name} PROPERTIES INTERFACE_LINK_LIBRARIES executorch_core)"]
    config = folder / "lib" / "cmake" / "ExecuTorch" / "executorch-config.cmake"
    config.parent.mkdir(parents=True)
    config.write_text("\n".join(lines))
    return folder


def configure(folder: Path, *options: str) -> Path:
    """The build folder. RuntimeError with what CMake said."""
    build = folder / "build"
    python = f"-DPython_EXECUTABLE={sys.executable}"
    run("cmake", "-S", str(SOURCES), "-B", str(build), "-G", "Ninja", python, *options)
    return build


def refusal(folder: Path, *options: str) -> str:
    """What CMake says, in one line."""
    with pytest.raises(RuntimeError) as refused:
        configure(folder, *options)
    return " ".join(str(refused.value).split())


def sources(folder: Path) -> str:
    header = folder / "executorch" / HEADER
    header.parent.mkdir(parents=True)
    header.touch()
    return f"-DEXECUTORCH_SOURCE_FOLDER={folder / 'executorch'}"


def test_a_static_tree_makes_one_executable_with_each_archive_of_kernels_once(tmp_path: Path) -> None:
    tree = install_tree(tmp_path / "tree")
    build = configure(tmp_path, f"-Dexecutorch_ROOT={tree}", sources(tmp_path))
    rules = (build / "build.ninja").read_text()
    assert "liblowpeak_ops.so" not in rules
    (link,) = (part for part in rules.split("\n\n") if part.startswith("build trainer/lowpeak-runner:"))
    for name in KERNELS:
        whole = f"--whole-archive {tree}/lib/lib{name}.a"
        assert link.replace("-Xlinker ", "").count(whole) == 1, name
    for name in ("register", "linear", "attention", "offload"):
        assert f"lowpeak_ops.dir/executorch/{name}.cpp.o" in link


def test_a_tree_without_kernels_is_refused(tmp_path: Path) -> None:
    tree = install_tree(tmp_path / "tree", without="optimized_native_cpu_ops_lib")
    said = refusal(tmp_path, f"-Dexecutorch_ROOT={tree}", sources(tmp_path))
    assert "has no optimized_native_cpu_ops_lib: build it with EXECUTORCH_BUILD_" in said


def test_kernels_that_would_not_be_linked_whole_are_refused(tmp_path: Path) -> None:
    tree = install_tree(tmp_path / "tree", whole=False)
    said = refusal(tmp_path, f"-Dexecutorch_ROOT={tree}", sources(tmp_path))
    assert "executorch of the ExecuTorch in" in said and "does not say that it is linked whole" in said


def test_a_shared_runtime_beside_static_kernels_is_refused(tmp_path: Path) -> None:
    tree = install_tree(tmp_path / "tree", more="add_library(executorch-shared SHARED IMPORTED)")
    said = refusal(tmp_path, f"-Dexecutorch_ROOT={tree}", sources(tmp_path))
    assert "two registries of kernels" in said


def test_headers_that_the_tree_has_not_are_asked_for(tmp_path: Path) -> None:
    tree = install_tree(tmp_path / "tree")
    said = refusal(tmp_path, f"-Dexecutorch_ROOT={tree}")
    assert "EXECUTORCH_SOURCE_FOLDER is to name the folder of sources" in said and HEADER in said


def test_a_folder_without_executorch_is_refused(tmp_path: Path) -> None:
    assert f"there is no ExecuTorch in {tmp_path}" in refusal(tmp_path, f"-Dexecutorch_ROOT={tmp_path}")


def test_the_package_of_this_machine_is_not_for_another(tmp_path: Path) -> None:
    said = refusal(tmp_path, "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=riscv64")
    assert "executorch_ROOT names no ExecuTorch for Linux on riscv64" in said


def test_a_wheel_is_not_for_android(tmp_path: Path) -> None:
    wheel = next(iter(executorch.__path__))
    said = refusal(tmp_path, f"-Dexecutorch_ROOT={wheel}", "-DANDROID=TRUE")
    assert "which is not for Android: build ExecuTorch from source" in said
