"""When every value of a program is live, which values share memory in place, and how many bytes that makes.

A step is the index of an operation; a value is live in [definition, last use + 1). With in-place sharing a
value takes over the memory of an operand that dies at its definition, and both become one buffer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from compiler.plan.problem import Buffer, MemoryProblem
from compiler.plan.program import Kind, Program

PERSISTENT = (Kind.ADAPTER,)


@dataclass(frozen=True)
class Lifetimes:
    """`lower[v]`, `upper[v]`: half-open lifetime of value v in steps; (0, 0) if it is never used.

    `buffer[v]`: the value whose memory v takes over in place, itself if it has its own.
    """

    lower: tuple[int, ...]
    upper: tuple[int, ...]
    buffer: tuple[int, ...]


def lifetimes(program: Program) -> Lifetimes:
    """Lifetimes in program order. Batch values are live from step 0, adapters and kept results to the end."""
    count, end = len(program.values), max(len(program.ops), 1)
    lower, upper, buffer = [0] * count, [0] * count, list(range(count))
    for step, op in enumerate(program.ops):
        for value in op.writes:
            lower[value], upper[value] = step, step + 1
        for value in op.reads:
            upper[value] = step + 1
    kept = program.kept
    for value, described in enumerate(program.values):
        if described.kind in PERSISTENT or value in kept:
            upper[value] = end
        elif described.kind is Kind.BATCH:
            upper[value] = max(upper[value], 1)
    for step, op in enumerate(program.ops):
        taken: set[int] = set()
        for written, operand in op.in_place:
            if written in taken or operand in taken or upper[operand] != step + 1:
                continue
            own = program.values[operand]
            pinned = own.kind in PERSISTENT or operand in kept
            if not pinned and own.nbytes == program.values[written].nbytes:
                buffer[written] = buffer[operand]
                taken.update((written, operand))
    return Lifetimes(tuple(lower), tuple(upper), tuple(buffer))


def memory_problem(program: Program, alignment: int) -> tuple[MemoryProblem, tuple[int, ...]]:
    """The buffers to place, and for every value the index of its buffer (-1: needs no memory)."""
    live = lifetimes(program)
    members: dict[int, list[int]] = defaultdict(list)
    for value, root in enumerate(live.buffer):
        if live.upper[value] > live.lower[value] and program.values[value].nbytes:
            members[root].append(value)
    buffers: list[Buffer] = []
    index = [-1] * len(program.values)
    for root, values in members.items():
        for value in values:
            index[value] = len(buffers)
        size = program.values[root].nbytes
        lower = min(live.lower[value] for value in values)
        upper = max(live.upper[value] for value in values)
        buffers.append(Buffer(program.values[root].name, lower, upper, size, alignment))
    return MemoryProblem(tuple(buffers)), tuple(index)


def peak_by_kind(program: Program, alignment: int = 1) -> dict[Kind, int]:
    """Bytes that are live at the first step with the most of them, by kind of value; as `live_bytes`."""
    live = lifetimes(program)
    timeline = live_bytes(program, alignment)
    worst = timeline.index(max(timeline))
    found: dict[Kind, int] = defaultdict(int)
    for index, value in enumerate(program.values):
        taken_over = live.buffer[index] != index and live.lower[index] == worst
        if live.lower[index] <= worst < live.upper[index] and not taken_over:
            found[value.kind] += -(-program.values[live.buffer[index]].nbytes // alignment) * alignment
    return dict(found)


def live_bytes(program: Program, alignment: int = 1) -> list[int]:
    """Bytes live at every step, in-place sharing counted once and sizes rounded up to `alignment`."""
    live = lifetimes(program)
    change = [0] * (len(program.ops) + 1)
    for value, root in enumerate(live.buffer):
        if live.upper[value] == live.lower[value]:
            continue
        size = -(-program.values[root].nbytes // alignment) * alignment
        start = live.lower[value] + (root != value)
        change[start] += size
        change[live.upper[value]] -= size
    total, timeline = 0, []
    for delta in change[:-1]:
        total += delta
        timeline.append(total)
    return timeline
