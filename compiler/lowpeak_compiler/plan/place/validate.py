"""Checks a memory solution.

Input: a problem and a solution. Output: none; InvalidSolution if the solution breaks a rule of the problem.
Stages: offsets one by one, then one sweep over the steps that compares each buffer with its neighbours.
Invariant: it shares no code with the solver, so that the same bug would have to be written twice to pass.
What it does not do: judge how good the solution is.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from lowpeak_compiler.plan.place.problem import Buffer, MemoryProblem, MemorySolution


class InvalidSolution(AssertionError):
    """A solution breaks a rule of its problem: a defect of whatever computed it, not of the input."""


def check(problem: MemoryProblem, solution: MemorySolution) -> None:
    """Raise InvalidSolution, naming the buffers and bytes, unless the problem allows every offset.

    Checked are the count, sign and alignment of offsets, that no two buffers share a byte at any step, the
    height, and the lower bound. The sweep keeps live buffers sorted by offset, so that a new one is compared
    with its two neighbours only.
    """
    if len(solution.offsets) != len(problem.buffers):
        raise InvalidSolution(f"{len(solution.offsets)} offsets for {len(problem.buffers)} buffers")
    height = 0
    for buffer, offset in zip(problem.buffers, solution.offsets, strict=True):
        if offset < 0:
            raise InvalidSolution(f"buffer {buffer.id}: offset {offset} is negative")
        if offset % buffer.alignment:
            raise InvalidSolution(
                f"buffer {buffer.id}: offset {offset} is not a multiple of {buffer.alignment}"
            )
        height = max(height, offset + buffer.size)
    if height != solution.height:
        raise InvalidSolution(f"height is {height} bytes, the solution says {solution.height}")
    most_live = _sweep(problem.buffers, solution.offsets)
    if most_live != solution.lower_bound:
        raise InvalidSolution(f"lower bound is {most_live} bytes, the solution says {solution.lower_bound}")


def _sweep(buffers: tuple[Buffer, ...], offsets: tuple[int, ...]) -> int:
    """Most bytes live at one step; raises InvalidSolution at the first two buffers that overlap."""
    # Of the events at one step the ends (0) come first, because live ranges are half-open.
    events = sorted(
        event
        for index, buffer in enumerate(buffers)
        if buffer.size
        for event in ((buffer.lower, 1, index), (buffer.upper, 0, index))
    )
    live: list[tuple[int, int]] = []
    live_bytes = most_live = 0
    for _, starts, index in events:
        entry = (offsets[index], index)
        if not starts:
            del live[bisect_left(live, entry)]
            live_bytes -= buffers[index].size
            continue
        position = bisect_left(live, entry)
        for neighbour in live[max(position - 1, 0) : position + 1]:
            low, high = sorted((neighbour, entry))
            shared = min(low[0] + buffers[low[1]].size, high[0] + buffers[high[1]].size) - high[0]
            if shared > 0:
                first, second = buffers[low[1]], buffers[high[1]]
                raise InvalidSolution(
                    f"buffers {first.id} and {second.id} share {shared} bytes from offset {high[0]} in steps "
                    f"[{max(first.lower, second.lower)}, {min(first.upper, second.upper)})"
                )
        insort(live, entry)
        live_bytes += buffers[index].size
        most_live = max(most_live, live_bytes)
    return most_live
