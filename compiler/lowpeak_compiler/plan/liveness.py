"""Live ranges of a program's values, which values share memory in place, and the live bytes at every step.

A step is the index of an operation; a value is live in [definition, last use + 1). When an operation works in
place, its result takes over the memory of an operand that dies there, and both become one buffer.

Input: a program in its order. Output: live ranges, live bytes at every step, or the offset problem of the
arena.
Invariant: the same bytes are counted here as the placed arena holds without gaps.
What it does not do: change the order, or place buffers (place/).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.place.problem import Buffer, MemoryProblem
from lowpeak_compiler.plan.program import Ints, Program

PERSISTENT = (Kind.ADAPTER,)


@dataclass(frozen=True)
class LiveRanges:
    """`lower[v]`, `upper[v]`: half-open live range of value v in steps; (0, 0) if it is never used.

    `buffer[v]`: the value whose memory v takes over in place; v itself if it has its own.
    """

    lower: tuple[int, ...]
    upper: tuple[int, ...]
    buffer: tuple[int, ...]


def live_ranges(program: Program) -> LiveRanges:
    """Live ranges in program order. Batch values live from step 0, adapters and kept results to the end."""
    live = _live(program)
    return LiveRanges(tuple(live.lower.tolist()), tuple(live.upper.tolist()), tuple(live.buffer.tolist()))


@dataclass(frozen=True)
class _Live:
    """`LiveRanges` as arrays."""

    lower: Ints
    upper: Ints
    buffer: Ints


def _live(program: Program) -> _Live:
    count, end = len(program.values), max(len(program.ops), 1)
    uses = program.uses
    lower, upper = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    operation, written = uses.writes
    lower[written] = uses.step[operation]
    upper[written] = lower[written] + 1
    operation, read = uses.reads
    np.maximum.at(upper, read, uses.step[operation] + 1)
    stays = pinned(program)
    upper[stays] = end
    batch = np.array([value.kind is Kind.BATCH for value in program.values], dtype=bool)
    np.maximum(upper, 1, out=upper, where=batch)
    buffer = np.arange(count)
    operation, written, read = uses.pairs
    step = uses.step[operation]
    dies = (upper[read] == step + 1) & ~stays[read] & (program.nbytes[read] == program.nbytes[written])
    chosen = np.flatnonzero(dies)
    chosen = chosen[np.argsort(step[chosen], kind="stable")]
    latest, taken = -1, set[int]()
    for at, into, operand in zip(*(c[chosen].tolist() for c in (step, written, read)), strict=True):
        if at != latest:
            latest, taken = at, set()
        if into not in taken and operand not in taken:
            buffer[into] = buffer[operand]
            taken.update((into, operand))
    return _Live(lower, upper, buffer)


def pinned(program: Program) -> NDArray[np.bool_]:
    """Whether each value is live to the end, whatever reads it."""
    stays = np.array([value.kind in PERSISTENT for value in program.values], dtype=bool)
    stays[list(program.kept)] = True
    return stays


def memory_problem(program: Program, alignment: int) -> tuple[MemoryProblem, tuple[int, ...]]:
    """The buffers to place, and for every value the index of its buffer; -1 if it needs no memory."""
    live = live_ranges(program)
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
    """Live bytes by kind of value, at the first step at which `live_bytes` is largest."""
    live = live_ranges(program)
    timeline = live_bytes(program, alignment)
    worst = timeline.index(max(timeline))
    totals: dict[Kind, int] = defaultdict(int)
    for index, value in enumerate(program.values):
        taken_over = live.buffer[index] != index and live.lower[index] == worst
        if live.lower[index] <= worst < live.upper[index] and not taken_over:
            totals[value.kind] += -(-program.values[live.buffer[index]].nbytes // alignment) * alignment
    return dict(totals)


def live_bytes(program: Program, alignment: int = 1) -> list[int]:
    """Live bytes at every step: memory shared in place counts once, sizes are rounded up to `alignment`."""
    live = _live(program)
    used = np.flatnonzero(live.upper > live.lower)
    root = live.buffer[used]
    size = -(-program.nbytes[root] // alignment) * alignment
    change = np.zeros(len(program.ops) + 1, dtype=np.int64)
    np.add.at(change, live.lower[used] + (root != used), size)
    np.subtract.at(change, live.upper[used], size)
    total: list[int] = np.cumsum(change)[:-1].tolist()
    return total


def peak_bytes(program: Program, alignment: int = 1) -> int:
    """The most live bytes at any step."""
    return max(live_bytes(program, alignment), default=0)
