"""The search for the fastest plan within a byte budget: decide, schedule, measure, and repeat with the
measured bytes.

Input: a baseline program, what the target counts against a budget, a budget. Output: a plan, or None.
Stages: the falling plans (smallest.py) show whether any known plan fits. Decisions (decide/decide.py) depend
on the bytes of what is not decided about, which depend on the decisions: so deciding and measuring alternate
for a few rounds. The neighbours of the best plan are tried last (local_search.py).
Invariant: the answer is a function of program and budget. A budget is accepted if and only if it is at least
what the smallest plan needs. Only bytes measured on a plan's final order count.
What it does not do: prove that no plan is faster.
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
"""A plan that uses this share of the budget ends the rounds."""
EFFORT = 12_000
"""Operations of all programs that are measured in search of a better neighbour, at most."""
PREFETCHED = 3
"""Plans whose loads are moved ahead before the fastest of them is chosen."""

T = TypeVar("T")


class Trace(Generic[T]):
    """A lazy sequence whose items are computed once, as far as any thread reads it."""

    def __init__(self, items: Iterator[T]) -> None:
        self._source = items
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
                    self._known.extend(item for item in (next(self._source, None),) if item is not None)
                if position == len(self._known):
                    return
            yield self._known[position]
            position += 1


class Planner:
    """Plans of one baseline program, for any budget. Several threads may ask at once.

    `memory`: what counts against a budget in addition to live values. `offload`: whether values can be stored
    and loaded.
    """

    def __init__(self, program: Program, rates: Rates, memory: Memory, *, offload: bool) -> None:
        self._decider = Decider(program, rates, offload, memory.per_op)
        self._measurer = Measurer(program, rates, memory, self._decider)
        self._neighbourhood = Neighbourhood(self._decider)
        self.falling: Trace[Plan] = Trace(falling(self._measurer, self._decider, self._neighbourhood))
        """Plans that need fewer and fewer bytes, from the fastest to the smallest."""

    def fastest(self) -> Plan:
        """Keeps everything that the backward needs, except for dequantized weights, whatever the memory."""
        return self._measurer.unbounded

    @cached_property
    def least_bytes(self) -> int:
        """A lower bound of what any plan needs, by the relaxed decisions alone and by the largest operation;
        it is known long before the smallest plan.
        """
        nothing = np.zeros(len(self._decider.buckets), dtype=np.int64)
        return max(self._decider.least(nothing), least_bytes(self._measurer))

    def smallest(self) -> Plan:
        """The plan that needs the fewest bytes, of the falling plans."""
        *_, smallest = self.falling
        return smallest

    def plan(self, budget: int) -> Plan | None:
        """The fastest known plan that needs at most `budget` bytes; None if the smallest needs more."""
        known = self.falling.first(lambda plan: plan.needed_bytes <= budget)
        if known is None:
            return None
        return min((self.prefetched(known, budget), *self.searched(budget)), key=_cost)

    def prefetched(self, plan: Plan, budget: int) -> Plan:
        """The plan with its loads as early as is useful and fits the budget."""
        return self._measurer.prefetched(plan, budget)

    def searched(self, budget: int) -> list[Plan]:
        """The fastest plan that a search finds within the budget; empty if it finds none."""
        if self.fastest().needed_bytes <= budget:
            return [self.fastest()]
        best = self._best(budget)
        return [] if best is None else [best]

    def _best(self, budget: int) -> Plan | None:
        """The best plan of the rounds, improved by its neighbours."""
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
        """Plans, the fastest first; each decided with the undecided bytes measured on the one before."""
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
        """Decisions for `goal`, or, where the undecided bytes of `latest` exceed it, for a budget between the
        two; the budget is None if the decisions are a guess.
        """
        undecided = self._measurer.undecided_bytes(latest)
        for _ in range(HALVINGS):
            decisions = self._decider.decide(goal, undecided)
            if decisions is None and latest is self.fastest():
                # The undecided bytes when all is kept say little about a plan that keeps next to nothing.
                guess = self._decider.decide(goal, np.zeros_like(undecided))
                if guess is not None:
                    return None, guess
            if decisions is not None:
                return goal, decisions
            goal = (goal + latest.needed_bytes) // 2
        return goal, None


def _cost(plan: Plan) -> tuple[float, int]:
    return plan.seconds, plan.needed_bytes
