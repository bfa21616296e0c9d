"""The sampler against a process of known size; a command under a hard limit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_runtime.train.memory import PeakSampler, memory_of, run_under_limit

MB = 1_000_000

# Waits for a line, holds 200 MB for a moment, then waits again.
HOLDS_FOR_A_MOMENT = """
import sys
print("ready", flush=True); sys.stdin.readline()
block = bytearray(200_000_000); block[::4096] = b"x" * len(block[::4096])
import time; time.sleep(0.05)
del block
print("done", flush=True); sys.stdin.readline()
"""


def test_sampler_sees_a_short_peak_of_a_child() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS_FOR_A_MOMENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin and child.stdout
    with child:
        assert child.stdout.readline() == "ready\n"
        before = memory_of(child.pid)
        assert before is not None
        with PeakSampler(child.pid) as sampler:
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"
            assert 199 * MB < sampler.peak_anonymous_bytes - before.anonymous_bytes < 215 * MB
            assert sampler.peak_rss_bytes >= sampler.peak_anonymous_bytes
            assert sampler.samples > 10
            sampler.restart()
            child.stdin.write("\n")
            child.stdin.flush()
            child.wait()
        assert sampler.peak_anonymous_bytes < before.anonymous_bytes + 10 * MB
        assert memory_of(child.pid) is None


def test_memory_of_this_process() -> None:
    use = memory_of()
    assert use is not None
    assert use.rss_bytes > use.anonymous_bytes > 0 and use.file_bytes > 0


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
