"""Predicted seconds of one operation by the roofline model: the slower of arithmetic and memory traffic, plus
the overhead of a call.

Input: FLOPs and bytes of an operation. Output: seconds.
Invariant: more FLOPs or bytes never take less time.
What it does not do: model caches, or operations that run at the same time (timeline.py overlaps the disk).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Sustained rates of a device under one runtime, per second; `seconds_per_op`: overhead of a call."""

    flops: float
    memory_bytes: float
    disk_read_bytes: float
    disk_write_bytes: float
    seconds_per_op: float

    def compute_seconds(self, flops: float, nbytes: float) -> float:
        return max(flops / self.flops, nbytes / self.memory_bytes) + self.seconds_per_op

    def offload_seconds(self, nbytes: float) -> float:
        """Writing and reading back `nbytes`, with none of it overlapped by computation."""
        return nbytes / self.disk_write_bytes + nbytes / self.disk_read_bytes
