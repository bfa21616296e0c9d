"""A short run of every fuzzer of a reader; a long one: `python -m tests.fuzz.python --seconds 600`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MUTATIONS = {"manifest": 200, "graph": 5, "plan": 200, "tensors": 100, "artifact": 5}


@pytest.mark.parametrize("target", MUTATIONS)
def test_nothing_but_our_errors_comes_out(target: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.python", "--target", target, "--keep", str(tmp_path)]
    done = subprocess.run(
        [*command, "--mutations", str(MUTATIONS[target])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"{target}: passed" in done.stdout
