"""Plans of falling need of memory, down to the smallest that is found.

Input: a program's decider and measurer. Output: plans, each needing fewer bytes than the one before.
Stages: from each of a few beginnings, the least budget for which the mixed-integer program has decisions,
given what an earlier plan left beside them; these decisions measured; and so on until nothing changes. Then
changes of one or two decisions, and other orders, of the smallest plans, for budgets below, by halved steps.
Invariant: no budget goes in, so that the plans are the program's alone. What they prove to fit, fits whatever
is asked.
What it does not do: look at the time of a step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.local_search import Neighbourhood, reached
from lowpeak_compiler.plan.measure import Measurer, Plan
from lowpeak_compiler.plan.rematerialize import Decisions

ROUNDS = 8
WIDER = 1.3
"""A budget of this factor above the least leaves other bytes beside the decided ones, and so another way
down.
"""
EFFORT = 150_000
"""Operations, in all, of the programs that are measured in search of a smaller neighbour."""
PROBE = 12_000
"""Of these, for one budget."""
STEPS = 9
"""How often the way from the smallest plan to the least that any operation takes is halved."""


def falling(measurer: Measurer, decider: Decider, neighbourhood: Neighbourhood) -> Iterator[Plan]:
    """Plans that need less and less, the fastest first."""
    best = measurer.unbounded
    pool = [best]
    yield best
    for plan in _rounds(measurer, decider):
        pool.append(plan)
        if plan.needed_bytes < best.needed_bytes:
            best = plan
            yield best
    step = (best.needed_bytes - least_bytes(measurer)) // 2
    effort = EFFORT
    for _ in range(STEPS):
        while effort > 0 and step > 0:
            probe = min(PROBE, effort)
            found, left = reached(measurer, neighbourhood, best.needed_bytes - step, pool, probe)
            effort -= probe - left
            if found is None:
                break
            best = found
            pool.append(best)
            yield best
        step //= 2


def _rounds(measurer: Measurer, decider: Decider) -> Iterator[Plan]:
    nothing = np.zeros(len(decider.windows), dtype=np.int64)
    everything_kept = measurer.other_bytes(measurer.unbounded)
    met: set[Decisions] = set()
    for beside, factor in ((nothing, 1.0), (nothing, WIDER), (everything_kept, 1.0)):
        other = beside
        for number in range(ROUNDS):
            goal = int(decider.least(other) * (1.0 if number else factor))
            decisions = decider.decide(goal, other)
            if decisions is None:
                break
            plan = measurer.measure(decisions)
            yield plan
            if decisions in met:
                break
            met.add(decisions)
            other = measurer.other_bytes(plan)


def least_bytes(measurer: Measurer) -> int:
    """What any plan needs: the largest operation's operands and results, and the program's operations."""
    program, alignment = measurer.program, measurer.memory.alignment
    sizes = (-(-program.nbytes // alignment) * alignment).tolist()
    most = 0
    for op in program.ops:
        # At best every pair of values that may share memory does.
        shared = {written: sizes[written] for written, _ in op.in_place}
        most = max(most, sum(sizes[v] for v in (*op.reads, *op.writes)) - sum(shared.values()))
    return max(most, measurer.memory.least_arena) + measurer.memory.beside(program)
