"""Prefetching: loads moved ahead, so that the disk reads while the processor computes.

A load starts reading a value that a later operation waits for; between the two the value takes memory. From
the last load to the first, each is moved ahead by as much as reading takes, or as far as the byte budget
allows.

Input: a program and a budget of live bytes. Output: the program with its loads moved, or itself without
loads.
Invariant: a program within the budget stays within it.
What it does not do: move stores, or reorder anything else.
"""

from __future__ import annotations

from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.program import Io, Program
from lowpeak_compiler.plan.timeline import start_seconds


def prefetch(program: Program, budget: int, alignment: int) -> Program:
    """The program with every load as early as useful. Live bytes within `budget` stay within it."""
    reads = [step for step, op in enumerate(program.ops) if op.io is Io.READ]
    if not reads:
        return program
    live = live_bytes(program, alignment)
    defined = {value: step for step, op in enumerate(program.ops) for value in op.writes}
    start = list(start_seconds(program))
    before: dict[int, list[int]] = {}
    """Steps of the loads, by the step that they are moved in front of."""
    disk_free = start[-1]
    for step in reversed(reads):
        op = program.ops[step]
        size = sum(-(-program.values[value].nbytes // alignment) * alignment for value in op.writes)
        # A load follows the store that its token comes from.
        earliest = max((defined[value] for value in op.reads if value in defined), default=-1) + 1
        wanted = min(start[step], disk_free) - op.disk_seconds
        place = step
        while place > earliest and start[place] > wanted and live[place - 1] + size <= budget:
            place -= 1
            live[place] += size
        disk_free = min(disk_free, max(wanted, start[place]))
        before.setdefault(place, []).append(step)
    order: list[int] = []
    for step in range(len(program.ops)):
        order.extend(reversed(before.get(step, [])))
        if program.ops[step].io is not Io.READ:
            order.append(step)
    return program.reordered(order)
