"""What a call costs, by the shapes of its arguments."""

from __future__ import annotations

import math

from lowpeak_artifact.ops.record import Call, Count


def all_bytes(call: Call) -> int:
    """Every operand is read, every result written."""
    return sum(t.numel() * t.element_size() for t in (*call.inputs, *call.results))


def product(operand: str) -> Count:
    """Each element of the result is a sum along the last axis of the operand."""
    return lambda call: 2 * math.prod(call.results[0].shape) * int(call[operand].shape[-1])
