"""The falling plans: each needs fewer bytes than the one before, down to the smallest known.

Input: a program's decider and measurer. Output: plans.
Stages: rounds from a few initial guesses of the undecided bytes: decisions for the least budget that the
mixed-integer program allows, measured, with the undecided bytes of that plan in the next round, until the
decisions repeat. Then a local search (neighbours and other orders of the smallest plans) for budgets below,
by halved steps.
Invariant: no budget is an input, so that the plans depend on the program only, and what they show to fit,
fits whatever was asked before.
What it does not do: minimize seconds.
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
"""Another initial guess: decisions for the least budget times this factor leave other undecided bytes.
"""
EFFORT = 150_000
"""Operations of all programs that are measured in search of a smaller neighbour, at most."""
PROBE = 12_000
"""The part of them for one budget."""
STEPS = 9
"""How often the distance from the smallest plan to the lower bound is halved."""


def falling(measurer: Measurer, decider: Decider, neighbourhood: Neighbourhood) -> Iterator[Plan]:
    """Plans that need fewer and fewer bytes, the fastest first."""
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
            smaller, left = reached(measurer, neighbourhood, best.needed_bytes - step, pool, probe)
            effort -= probe - left
            if smaller is None:
                break
            best = smaller
            pool.append(best)
            yield best
        step //= 2


def _rounds(measurer: Measurer, decider: Decider) -> Iterator[Plan]:
    nothing = np.zeros(len(decider.buckets), dtype=np.int64)
    everything_kept = measurer.undecided_bytes(measurer.unbounded)
    seen: set[Decisions] = set()
    for guess, factor in ((nothing, 1.0), (nothing, WIDER), (everything_kept, 1.0)):
        undecided = guess
        for number in range(ROUNDS):
            goal = int(decider.least(undecided) * (1.0 if number else factor))
            decisions = decider.decide(goal, undecided)
            if decisions is None:
                break
            plan = measurer.measure(decisions)
            yield plan
            if decisions in seen:
                break
            seen.add(decisions)
            undecided = measurer.undecided_bytes(plan)


def least_bytes(measurer: Measurer) -> int:
    """A lower bound of what any plan needs: the largest operation with its operands and results."""
    program, alignment = measurer.program, measurer.memory.alignment
    sizes = (-(-program.nbytes // alignment) * alignment).tolist()
    most = 0
    for op in program.ops:
        # At best every pair of values that may share memory does.
        shared = {written: sizes[written] for written, _ in op.in_place}
        most = max(most, sum(sizes[v] for v in (*op.reads, *op.writes)) - sum(shared.values()))
    return max(most, measurer.memory.least_arena) + measurer.memory.of_operations(program)
