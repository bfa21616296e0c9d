"""The search for a plan under a byte budget: decide, schedule, measure, and again with what was measured.

The decisions (decide.py) need to know how many bytes are live beside the values decided about, which depends
on the decisions. So the two alternate for a few rounds; a plan counts only with the peak that was measured on
its schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import chain, count

import numpy as np

from compiler.plan.cost import Rates
from compiler.plan.decide import Decider
from compiler.plan.fit_order import order_within
from compiler.plan.liveness import live_bytes
from compiler.plan.local_search import Neighbourhood
from compiler.plan.prefetch import prefetch
from compiler.plan.program import Io, Program
from compiler.plan.rematerialize import STORE_SUFFIX, Decisions, carry_out
from compiler.plan.schedule import schedule
from compiler.plan.timeline import step_seconds

ROUNDS = 12
PATIENCE = 4
"""Rounds without progress after which a search ends."""
PROGRESS = 0.99
HALVINGS = 4
FULL_USE = 0.98
"""A plan that uses this share of the budget is not improved any more."""
UNBOUNDED = 1 << 60
NEAR = 1.25
"""A plan that exceeds the budget by this factor may yet fit in another order."""
EFFORT = 12_000
"""Operations, in all, of the programs that are measured in search of a better neighbour."""
LEAST_GAIN = 1 - 1e-6
PREFETCHED = 3
"""Plans whose loads are moved ahead before the fastest is chosen."""


@dataclass(frozen=True)
class Plan:
    """`program` is the scheduled step with the decisions carried out; `peak_bytes` its live bytes at the
    worst step."""

    decisions: Decisions
    program: Program
    peak_bytes: int

    @cached_property
    def seconds(self) -> float:
        """Predicted time of one step."""
        return step_seconds(self.program)

    @cached_property
    def carried_out(self) -> Decisions:
        """The decisions without what nothing needs."""
        again = frozenset(op.copy_of for op in self.program.ops if op.copy_of)
        stored = frozenset(op.name.removesuffix(STORE_SUFFIX) for op in self.program.ops if op.io is Io.WRITE)
        return Decisions(again, stored)


class Planner:
    """Plans of one program, for any budget. `alignment`: bytes that every value is rounded up to."""

    def __init__(self, program: Program, rates: Rates, *, offload: bool, alignment: int) -> None:
        self.rates = rates
        self.alignment = alignment
        self._program = program
        self._decider = Decider(program, rates, offload)
        self._neighbourhood = Neighbourhood(self._decider)
        self._step_of = {op.name: index for index, op in enumerate(program.ops)}
        self._measured: dict[Decisions, Plan] = {}
        self._planned: dict[int, Plan | None] = {}

    @cached_property
    def _unbounded(self) -> Plan:
        decisions = self._decider.decide(UNBOUNDED, np.zeros(len(self._decider.windows), dtype=np.int64))
        assert decisions is not None
        return self._measure(decisions)

    def fastest(self) -> Plan:
        """Everything kept that the backward needs, whatever the memory; dequantized weights are not."""
        return self._unbounded

    def plan(self, budget: int) -> Plan | None:
        """The fastest plan found whose peak is at most `budget` bytes; None if none is found."""
        if budget not in self._planned:
            self._search(budget)
            fitting = self._fitting(budget)
            if fitting:
                # A search that begins elsewhere finds other plans, faster ones too.
                self._search(min(fitting, key=_cost).peak_bytes - 1)
            self._planned[budget] = self._improved(budget)
        return self._planned[budget]

    def _fitting(self, budget: int) -> list[Plan]:
        return [plan for plan in self._measured.values() if plan.peak_bytes <= budget]

    def _improved(self, budget: int) -> Plan | None:
        """The fastest plan within the budget of those measured, and of what is next to it."""
        fitting = self._fitting(budget)
        best = [self._prefetched(plan, budget) for plan in sorted(fitting, key=_cost)[:PREFETCHED]]
        near = [p for p in self._measured.values() if budget < p.peak_bytes <= NEAR * budget]
        best += filter(None, (self._fitted(plan, budget) for plan in sorted(near, key=_cost)[:PREFETCHED]))
        current, left = min(best, key=_cost, default=None), EFFORT
        if current is None:
            current, left = self._reached(budget, left)
        while current is not None and left > 0:
            better, left = self._faster(current, budget, left)
            if better is None:
                break
            current = better
        return current

    def _reached(self, budget: int, effort: int) -> tuple[Plan | None, int]:
        """A plan within the budget, searched for among the changes of those that exceed it, of the smallest
        first; and the effort left.
        """
        queue: list[tuple[int, int, Iterator[Decisions]]] = []

        def enter(plan: Plan) -> None:
            if plan.peak_bytes <= NEAR * budget:
                changed = (decisions for _, decisions in self._neighbourhood.around(plan.carried_out))
                heappush(queue, (plan.peak_bytes, next(number), chain([plan.decisions], changed)))

        number = count()
        for plan in self._measured.values():
            enter(plan)
        tried: set[Decisions] = set()
        while queue and effort > 0:
            decisions = next(queue[0][2], None)
            if decisions is None:
                heappop(queue)
            elif decisions not in tried:
                tried.add(decisions)
                effort -= len(self._program.ops)
                known = decisions in self._measured
                plan = self._measure(decisions)
                fitted = self._fitted(plan, budget)
                if fitted is not None:
                    return fitted, effort
                if not known:
                    enter(plan)
        return None, effort

    def _faster(self, current: Plan, budget: int, effort: int) -> tuple[Plan | None, int]:
        """A plan next to `current` that is faster within the budget; and the effort left."""
        undecided = sum(op.seconds for op in self._program.ops)
        for seconds, decisions in self._neighbourhood.around(current.carried_out):
            if undecided + seconds >= current.seconds * LEAST_GAIN:
                continue
            if effort <= 0:
                break
            effort -= len(self._program.ops)
            fitted = self._fitted(self._measure(decisions), budget)
            if fitted is not None and fitted.seconds < current.seconds:
                return fitted, effort
        return None, effort

    def _fitted(self, plan: Plan, budget: int) -> Plan | None:
        """The plan in an order that fits, with loads moved ahead; None if none is found."""
        if plan.peak_bytes > NEAR * budget:
            return None
        program = order_within(plan.program, budget, self.alignment)
        if program is None:
            return None
        peak = max(live_bytes(program, self.alignment), default=0)
        return self._prefetched(Plan(plan.decisions, program, peak), budget)

    def _search(self, budget: int) -> None:
        """Measures plans, each made with what the one before left beside its decided bytes; the first is the
        known one that is the least over the budget.
        """
        known = [self._unbounded, *self._measured.values()]
        above = [plan for plan in known if plan.peak_bytes > budget]
        plans = [min(above, key=lambda plan: plan.peak_bytes, default=self._unbounded)]
        goal, stalled = budget, 0
        while stalled < PATIENCE and len(plans) <= ROUNDS:
            latest = plans[-1]
            if latest.peak_bytes <= budget and (len(plans) == 1 or latest.peak_bytes >= FULL_USE * budget):
                break
            reached, decisions = self._towards(goal, latest)
            if decisions is None:
                break
            plan = self._measure(decisions)
            if plan in plans and plan.peak_bytes <= budget:
                break
            lowest = min(other.peak_bytes for other in plans)
            stalled = 0 if plan.peak_bytes < PROGRESS * lowest else stalled + 1
            plans.append(plan)
            if reached == goal:
                goal -= max(plan.peak_bytes - budget, 0) * len(plans)
            elif reached is None or reached > budget:
                goal = budget

    def _towards(self, goal: int, latest: Plan) -> tuple[int | None, Decisions | None]:
        """Decisions for `goal`, or for one on the way to it where what `latest` left beside is too much for
        it; the goal is None if they are a guess.
        """
        other = self._other_bytes(latest)
        for _ in range(HALVINGS):
            decisions = self._decider.decide(goal, other)
            if decisions is None and latest is self._unbounded:
                # What is beside when all is kept says little about a plan that keeps next to nothing.
                guess = self._decider.decide(goal, np.zeros_like(other))
                if guess is not None:
                    return None, guess
            if decisions is not None:
                return goal, decisions
            goal = (goal + latest.peak_bytes) // 2
        return goal, None

    def _prefetched(self, plan: Plan, budget: int) -> Plan:
        program = prefetch(plan.program, budget, self.alignment)
        if program is plan.program:
            return plan
        return Plan(plan.decisions, program, max(live_bytes(program, self.alignment)))

    def _measure(self, decisions: Decisions) -> Plan:
        if decisions not in self._measured:
            program = schedule(carry_out(self._program, decisions, self.rates))
            peak = max(live_bytes(program, self.alignment), default=0)
            self._measured[decisions] = Plan(decisions, program, peak)
        return self._measured[decisions]

    def _other_bytes(self, plan: Plan) -> np.ndarray:
        """In every window of the undecided program, the most bytes live beside what was decided about."""
        decided = self._decider.decided_bytes(plan.decisions)
        most = [-1] * len(decided)
        pending = 0
        for op, nbytes in zip(plan.program.ops, live_bytes(plan.program, self.alignment), strict=True):
            pending = max(pending, nbytes)
            step = self._step_of.get(op.name)
            if step is not None:
                window = self._decider.windows.of_step[step]
                most[window] = max(most[window], pending)
                pending = 0
        live = np.array(most, dtype=np.int64)
        return np.where(live >= 0, live - decided, 0)


def _cost(plan: Plan) -> tuple[float, int]:
    return plan.seconds, plan.peak_bytes


def smallest_feasible(feasible: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest number in (low, high] found feasible by bisection; `high` must be, the result minus 1 is
    not."""
    while high - low > 1:
        middle = (low + high) // 2
        if feasible(middle):
            high = middle
        else:
            low = middle
    return high
