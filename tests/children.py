"""The child that a test means, among those that its process has started for other work."""

from __future__ import annotations

import os
from pathlib import Path

WORKER = "lowpeak_runtime.train.worker"
RUNNER = "lowpeak-runner"


def child_of_this_process(named: str) -> int:
    """The number of the child with `named` in its command line."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for pid in map(int, children):
        if named.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError(f"no child is {named}")
