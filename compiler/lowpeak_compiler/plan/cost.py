"""Predicted seconds of one operation, from plain numbers (roofline): the slower of arithmetic and memory,
plus a call.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """What a device reaches under one runtime. All sustained, per second."""

    flops: float
    memory_bytes: float
    disk_read_bytes: float
    disk_write_bytes: float
    seconds_per_op: float

    def compute_seconds(self, flops: float, nbytes: float) -> float:
        return max(flops / self.flops, nbytes / self.memory_bytes) + self.seconds_per_op

    def offload_seconds(self, nbytes: float) -> float:
        """Storing and loading back `nbytes`, nothing hidden behind compute."""
        return nbytes / self.disk_write_bytes + nbytes / self.disk_read_bytes
