"""The fuzzers of native/, each for some seconds: they find nothing. docs/native.md has the commands of long
runs.

Slow, because all of native/ is built again, by clang: it runs by name, and in .ci/run. Needs clang with
libFuzzer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.native.build import build_in

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
FUZZERS = re.findall(r"^add_fuzzer\((\w+)", (FOLDER / "CMakeLists.txt").read_text(), re.MULTILINE)
SECONDS = 10
CASE_SECONDS = 20
CASE_BYTES = 4096


@pytest.fixture(scope="module")
def built() -> Path:
    """Later sessions reuse the folder, and Ninja rebuilds what changed."""
    checkout = hashlib.sha256(str(FOLDER).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"lowpeak-fuzz-{checkout}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build_in(folder, "-DCMAKE_CXX_COMPILER=clang++", sources=FOLDER)
    return folder


@pytest.mark.parametrize("name", FUZZERS)
def test_finds_nothing(name: str, built: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(built / name, f"-max_total_time={SECONDS}", f"-timeout={CASE_SECONDS}"),
            *(f"-max_len={CASE_BYTES}", "-rss_limit_mb=2048", "-print_final_stats=1"),
        ],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    executed = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    assert executed and int(executed[1]) > 100, done.stderr[-2000:]
