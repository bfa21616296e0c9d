"""A short run of the fuzzers of an artifact's files; long: `python -m tests.fuzz.python --seconds 600`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TARGETS = ("manifest", "graph", "plan", "tensors", "artifact")
MUTATIONS = 10


@pytest.mark.thorough
def test_nothing_but_our_errors_comes_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.python", "--target", ",".join(TARGETS)]
    command += ["--mutations", str(MUTATIONS), "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert [line for line in done.stdout.splitlines() if line.endswith("passed")] == [
        f"{target}: passed" for target in TARGETS
    ]
