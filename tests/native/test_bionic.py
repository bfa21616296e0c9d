"""native/ for Android, as far as a build for Linux shows: its C library, pages of 16 kB, no folder /tmp."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lowpeak_export.executorch.library import OPS
from tests.native import bionic
from tests.native.build import SANITIZE, SOURCES, build
from tests.native.runner import runner

PAGE = 16384


@pytest.fixture(scope="module")
def files() -> list[Path]:
    if SANITIZE:
        pytest.fail("the sanitizers' own functions are not on Android: run this without LOWPEAK_SANITIZE")
    return [runner(), build() / OPS]


def test_all_that_is_called_is_on_android_9(files: list[Path]) -> None:
    bionic.require_on_android(*files)


@pytest.mark.parametrize("body", ["malloc_info(0, stdout)", "aligned_alloc(64, 64)", "getloadavg(0, 0)"])
def test_another_function_is_found(body: str, tmp_path: Path, files: list[Path]) -> None:
    source, library = tmp_path / "more.cpp", tmp_path / "more.so"
    includes = "".join(f"#include <{name}.h>\n" for name in ("malloc", "stdio", "stdlib"))
    source.write_text(f'{includes}extern "C" void more() {{ (void){body}; }}\n')
    subprocess.run(["c++", "-O0", "-shared", "-fPIC", "-o", library, source], check=True)
    with pytest.raises(AssertionError, match=body.partition("(")[0]):
        bionic.require_on_android(*files, library)


def test_segments_can_be_loaded_with_pages_of_16_kb(files: list[Path]) -> None:
    for file in files:
        alignments = bionic.alignments(file)
        assert len(alignments) >= 2 and set(alignments) == {PAGE}, file


def test_temporary_files_are_in_the_folder_of_the_job_only(files: list[Path]) -> None:
    for file in files:
        # Where the build's own libraries are is in another section.
        constants = subprocess.run(["readelf", "-p", ".rodata", file], capture_output=True, check=True).stdout
        assert b"--ops-library" in constants or b"offload" in constants, file
        assert b"/tmp" not in constants, file
    sources = [path for path in SOURCES.rglob("*") if path.suffix in (".cpp", ".h")]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("tmpfile", "tmpnam", "temp_directory_path", "TMPDIR")), path


def test_the_size_of_a_page_is_asked_for() -> None:
    for path in SOURCES.rglob("*.cpp"):
        text = path.read_text(encoding="utf-8")
        if "madvise(" in text:
            assert "_SC_PAGESIZE" in text, path
        assert "PAGE_SIZE" not in text.replace("_SC_PAGESIZE", ""), path
