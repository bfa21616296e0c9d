"""The sampler against a process of known size."""

from __future__ import annotations

import subprocess
import sys

from lowpeak_runtime.train.memory import PeakSampler, memory_of

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
