"""Predicted start times of a program's operations: the processor runs them in order, and the disk works at
the same time.

    processor  | op | store | op | load | op | op | wait .. | op |
    disk               | write       | read            |

The disk serves requests in order. A store copies its value into the write buffer and returns, unless the
buffer is full of bytes that the disk has yet to write.

Input: a program in its order. Output: seconds at which each operation starts, and at which the step ends.
Invariant: the prediction depends on the program only.
What it does not do: change the order (order/prefetch.py moves loads ahead).
"""

from __future__ import annotations

from collections.abc import Iterator

from lowpeak_compiler.plan.program import Io, Program

BUFFERED_BYTES = 2 << 20
"""Size of the write buffer (native/executorch/offload_file.h)."""


def start_seconds(program: Program) -> Iterator[float]:
    """Seconds at which each operation starts, in order, and finally at which the step ends."""
    processor = disk = 0.0
    arrival: dict[int, float] = {}
    for op in program.ops:
        yield processor
        processor += op.seconds
        match op.io:
            case Io.WRITE:
                disk = max(disk, processor) + op.disk_seconds
                size = sum(program.values[value].nbytes for value in op.reads)
                buffered = min(1.0, BUFFERED_BYTES / size) if size else 1.0
                processor = max(processor, disk - buffered * op.disk_seconds)
            case Io.READ:
                disk = max(disk, processor) + op.disk_seconds
                arrival.update(dict.fromkeys(op.writes, disk))
            case Io.WAIT:
                processor = max(processor, *(arrival[value] for value in op.reads))
    yield processor


def step_seconds(program: Program) -> float:
    """Predicted seconds of one step."""
    *_, end = start_seconds(program)
    return end
