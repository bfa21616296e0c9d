"""The search for the fastest plan under a byte budget: decide, schedule, measure, and again with what was
measured.

Input: a program, what the target counts against a budget, a budget. Output: a plan, or None.
Stages: the falling plans (smallest.py) prove that there is a plan, or that none is known. The decisions
(decide.py) need to know how many bytes are live beside the values decided about, which depends on the
decisions: so the two alternate for a few rounds. What is next to the best plan is tried
as well (local_search.py).
Invariant: the answer is a function of program and budget. A budget is accepted if and only if it is at least
what the smallest plan needs, and a plan counts only with the bytes that were measured on its order.
What it does not do: prove that there is no faster plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.local_search import Neighbourhood, faster, reached
from lowpeak_compiler.plan.measure import NEAR, Measurer, Memory, Plan
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions
from lowpeak_compiler.plan.smallest import falling, least_bytes

ROUNDS = 12
PATIENCE = 4
"""Rounds without progress after which a search ends."""
PROGRESS = 0.99
HALVINGS = 4
FULL_USE = 0.98
"""A plan that uses this share of the budget is not improved any more."""
EFFORT = 12_000
"""Operations, in all, of the programs that are measured in search of a better neighbour."""
PREFETCHED = 3
"""Plans whose loads are moved ahead before the fastest is chosen."""

T = TypeVar("T")


class Trace(Generic[T]):
    """A sequence that is computed once, as far as anyone looks, by however many threads."""

    def __init__(self, items: Iterator[T]) -> None:
        self._coming = items
        self._known: list[T] = []
        self._lock = Lock()

    def first(self, wanted: Callable[[T], bool]) -> T | None:
        """The first wanted item; None if there is none."""
        return next(filter(wanted, self), None)

    def __iter__(self) -> Iterator[T]:
        position = 0
        while True:
            with self._lock:
                if position == len(self._known):
                    self._known.extend(item for item in (next(self._coming, None),) if item is not None)
                if position == len(self._known):
                    return
            yield self._known[position]
            position += 1


class Planner:
    """Plans of one program, for any budget. Several threads may ask at once.

    `memory`: what counts against a budget beside live values. `offload`: whether values can be stored and
    loaded.
    """

    def __init__(self, program: Program, rates: Rates, memory: Memory, *, offload: bool) -> None:
        self._decider = Decider(program, rates, offload, memory.per_op)
        self._measurer = Measurer(program, rates, memory, self._decider)
        self._neighbourhood = Neighbourhood(self._decider)
        self.falling: Trace[Plan] = Trace(falling(self._measurer, self._decider, self._neighbourhood))
        """Plans that need less and less, from the fastest to the smallest."""

    def fastest(self) -> Plan:
        """Everything kept that the backward needs, whatever the memory; dequantized weights are not."""
        return self._measurer.unbounded

    @cached_property
    def least_bytes(self) -> int:
        """What a plan needs at least, by the relaxed decisions with nothing beside them and by the largest
        operation; known long before the smallest plan.
        """
        nothing = np.zeros(len(self._decider.windows), dtype=np.int64)
        return max(self._decider.least(nothing), least_bytes(self._measurer))

    def smallest(self) -> Plan:
        """The plan that needs the fewest bytes, of those that are found."""
        *_, smallest = self.falling
        return smallest

    def plan(self, budget: int) -> Plan | None:
        """The fastest plan found that needs at most `budget` bytes; None if the smallest needs more."""
        known = self.falling.first(lambda plan: plan.needed_bytes <= budget)
        if known is None:
            return None
        return min((self.prefetched(known, budget), *self.searched(budget)), key=_cost)

    def prefetched(self, plan: Plan, budget: int) -> Plan:
        """The plan with its loads as early as useful within the budget."""
        return self._measurer.prefetched(plan, budget)

    def searched(self, budget: int) -> list[Plan]:
        """The fastest plan that a search finds within the budget, if it finds one."""
        if self.fastest().needed_bytes <= budget:
            return [self.fastest()]
        found = self._best(budget)
        return [] if found is None else [found]

    def _best(self, budget: int) -> Plan | None:
        """The best of the plans that the rounds come by, and of what is next to it."""
        tried = {plan.decisions: plan for plan in self._rounds(budget)}
        fitting = [plan for plan in tried.values() if plan.needed_bytes <= budget]
        ahead = self._measurer.prefetched
        best = [ahead(plan, budget) for plan in sorted(fitting, key=_cost)[:PREFETCHED]]
        near = [plan for plan in tried.values() if budget < plan.needed_bytes <= NEAR * budget]
        fitted = (self._measurer.fitted(plan, budget) for plan in sorted(near, key=_cost)[:PREFETCHED])
        best += [ahead(plan, budget) for plan in fitted if plan is not None]
        current, left = min(best, key=_cost, default=None), EFFORT
        if current is None:
            current, left = reached(self._measurer, self._neighbourhood, budget, tried.values(), left)
            current = current and ahead(current, budget)
        better = current
        while better is not None and left > 0:
            current = better
            better, left = faster(self._measurer, self._neighbourhood, current, budget, left)
        return current

    def _rounds(self, budget: int) -> list[Plan]:
        """Plans, each made with what the one before left beside its decided bytes, the fastest first."""
        plans = [self.fastest()]
        goal, stalled = budget, 0
        while stalled < PATIENCE and len(plans) <= ROUNDS:
            latest = plans[-1]
            if FULL_USE * budget <= latest.needed_bytes <= budget:
                break
            towards, decisions = self._towards(goal, latest)
            if decisions is None:
                break
            plan = self._measurer.measure(decisions)
            if plan in plans and plan.needed_bytes <= budget:
                break
            lowest = min(other.needed_bytes for other in plans)
            stalled = 0 if plan.needed_bytes < PROGRESS * lowest else stalled + 1
            plans.append(plan)
            if towards == goal:
                goal -= max(plan.needed_bytes - budget, 0) * len(plans)
            elif towards is None or towards > budget:
                goal = budget
        return plans

    def _towards(self, goal: int, latest: Plan) -> tuple[int | None, Decisions | None]:
        """Decisions for `goal`, or for one on the way to it where what `latest` left beside is too much for
        it; the goal is None if they are a guess.
        """
        other = self._measurer.other_bytes(latest)
        for _ in range(HALVINGS):
            decisions = self._decider.decide(goal, other)
            if decisions is None and latest is self.fastest():
                # What is beside when all is kept says little about a plan that keeps next to nothing.
                guess = self._decider.decide(goal, np.zeros_like(other))
                if guess is not None:
                    return None, guess
            if decisions is not None:
                return goal, decisions
            goal = (goal + latest.needed_bytes) // 2
        return goal, None


def _cost(plan: Plan) -> tuple[float, int]:
    return plan.seconds, plan.needed_bytes
