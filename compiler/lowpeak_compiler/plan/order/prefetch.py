"""Loads moved ahead of their use, so that the disk reads while the processor computes.

A load asks for a value that a later operation waits for; from the one to the other the value takes memory.
From the last load to the first, each is moved as far ahead as reading takes, and as the byte budget allows.
"""

from __future__ import annotations

from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.program import Io, Program
from lowpeak_compiler.plan.timeline import start_seconds


def prefetch(program: Program, budget: int, alignment: int) -> Program:
    """The program with every load as early as useful; its live bytes stay within `budget` if they were."""
    reads = [step for step, op in enumerate(program.ops) if op.io is Io.READ]
    if not reads:
        return program
    live = live_bytes(program, alignment)
    made = {value: step for step, op in enumerate(program.ops) for value in op.writes}
    start = list(start_seconds(program))
    before: dict[int, list[int]] = {}
    """Steps of the loads to be moved, by the step that they go before."""
    disk_free = start[-1]
    for step in reversed(reads):
        op = program.ops[step]
        size = sum(-(-program.values[value].nbytes // alignment) * alignment for value in op.writes)
        # Behind what makes its token, and not before an earlier load's place in the queue matters.
        earliest = max((made[value] for value in op.reads if value in made), default=-1) + 1
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
