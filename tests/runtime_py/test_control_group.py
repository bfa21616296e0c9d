"""A command under a hard limit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_runtime.train.control_group import run_under_limit

MB = 1_000_000

CGROUPS = os.geteuid() == 0 and os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK)


def groups_left() -> list[Path]:
    return list(Path("/sys/fs/cgroup/memory").glob(f"lowpeak-{os.getpid()}-*"))


def test_command_within_and_over_the_limit() -> None:
    if not CGROUPS:
        with pytest.raises(EnvironmentProblem):
            run_under_limit(["true"], 100 * MB)
        return
    code = "import sys; b = bytearray(int(sys.argv[1]) * 1_000_000); print(len(b))"
    within = run_under_limit([sys.executable, "-c", code, "40"], 100 * MB, timeout_seconds=60)
    assert (within.returncode, within.output) == (0, "40000000\n") and not within.killed_for_memory
    assert 40 * MB < within.peak_bytes <= 100 * MB
    over = run_under_limit([sys.executable, "-c", code, "200"], 100 * MB, timeout_seconds=60)
    assert over.killed_for_memory and over.returncode == -9
    assert not groups_left()


def test_the_group_is_gone_after_a_timeout() -> None:
    expected = subprocess.TimeoutExpired if CGROUPS else EnvironmentProblem
    with pytest.raises(expected):
        run_under_limit(["/bin/sh", "-c", "sleep 60 & sleep 60"], 100 * MB, timeout_seconds=0.3)
    assert not groups_left()
