"""When a program's operations run: the processor takes them in order, the disk works beside it.

    processor  | op | store | op | load | op | op | wait .. | op |
    disk               | write       | read            |

The disk serves one request after the other. A store copies its value to a buffer and is done, unless the
buffer is full of what has not been written yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from lowpeak_compiler.plan.program import Io, Program

BUFFERED_BYTES = 2 << 20
"""What may wait to be written (native/executorch/offload_file.h)."""


def start_seconds(program: Program) -> Iterator[float]:
    """When each operation starts, in order; last of all when the step ends."""
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
    """Predicted time of one step."""
    *_, end = start_seconds(program)
    return end
