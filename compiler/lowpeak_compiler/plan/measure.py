"""Decisions carried out on the baseline program, scheduled, and measured.

Input: decisions. Output: a `Plan`, whose live bytes are counted exactly in its order.
Stages: carry out (rematerialize.py), schedule (order/schedule.py), count (liveness.py); on request an order
within a budget (order/fit_order.py) and loads moved ahead (order/prefetch.py).
Invariant: a plan depends on the program and the decisions only, so that caching plans changes no answer.
What it does not do: choose decisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.liveness import live_bytes, peak_bytes
from lowpeak_compiler.plan.order.fit_order import STATES, order_within
from lowpeak_compiler.plan.order.prefetch import prefetch
from lowpeak_compiler.plan.order.schedule import schedule
from lowpeak_compiler.plan.program import Io, Program
from lowpeak_compiler.plan.rematerialize import STORE_SUFFIX, Decisions, carry_out
from lowpeak_compiler.plan.timeline import step_seconds

NEAR = 1.25
"""A plan that exceeds the budget by at most this factor may fit in another order."""


@dataclass(frozen=True)
class Plan:
    """`program`: the step with the decisions carried out, in its order; `peak_bytes`: its most live bytes at
    any step; `needed_bytes`: the smallest budget that it fits.
    """

    decisions: Decisions
    program: Program
    peak_bytes: int
    needed_bytes: int

    @cached_property
    def seconds(self) -> float:
        """Predicted time of one step."""
        return step_seconds(self.program)

    @cached_property
    def carried_out(self) -> Decisions:
        """The decisions without those that no operation needs."""
        recomputed = frozenset(op.copy_of for op in self.program.ops if op.copy_of)
        stored = frozenset(op.name.removesuffix(STORE_SUFFIX) for op in self.program.ops if op.io is Io.WRITE)
        return Decisions(recomputed, stored)


@dataclass(frozen=True)
class Memory:
    """What counts against a budget in addition to live values.

    `alignment`: every value's size is rounded up to a multiple of it. `per_op`: bytes for each operation of
    the program. `least_arena`: least bytes of the arena.
    """

    alignment: int
    per_op: float = 0.0
    least_arena: int = 0

    def of_operations(self, program: Program) -> int:
        """Bytes that the operations of the program take in addition to its values."""
        return math.ceil(self.per_op * len(program.ops))


class Measurer:
    """Plans of one baseline program."""

    def __init__(self, program: Program, rates: Rates, memory: Memory, decider: Decider) -> None:
        self.program = program
        self.rates = rates
        self.memory = memory
        self._decider = decider
        self._step_of = {op.name: index for index, op in enumerate(program.ops)}
        self._measured: dict[Decisions, Plan] = {}

    @cached_property
    def unbounded(self) -> Plan:
        """Keeps everything that the backward needs, except for dequantized weights."""
        return self.measure(self._decider.unbounded())

    def measure(self, decisions: Decisions) -> Plan:
        """The decisions carried out, in the scheduler's order."""
        plan = self._measured.get(decisions)
        if plan is None:
            plan = self._plan(decisions, schedule(carry_out(self.program, decisions, self.rates)))
            self._measured[decisions] = plan
        return plan

    def fitted(self, plan: Plan, budget: int, states: int = STATES) -> Plan | None:
        """The plan in an order within the budget; None if none is found. `states`: see order_within."""
        if plan.needed_bytes > NEAR * budget:
            return None
        room = self._for_values(plan, budget)
        program = order_within(plan.program, room, self.memory.alignment, states)
        if program is None:
            return None
        fitted = plan if program is plan.program else self._plan(plan.decisions, program)
        return fitted if fitted.needed_bytes <= budget else None

    def prefetched(self, plan: Plan, budget: int) -> Plan:
        """The plan with its loads as early as useful within the budget."""
        program = prefetch(plan.program, self._for_values(plan, budget), self.memory.alignment)
        return plan if program is plan.program else self._plan(plan.decisions, program)

    def undecided_bytes(self, plan: Plan) -> np.ndarray:
        """In every time bucket, the most live bytes of all that is not decided about."""
        decided = self._decider.decided_bytes(plan.decisions)
        most = [-1] * len(decided)
        pending = 0
        for op, nbytes in zip(plan.program.ops, live_bytes(plan.program, self.memory.alignment), strict=True):
            pending = max(pending, nbytes)
            step = self._step_of.get(op.name)
            if step is not None:
                bucket = self._decider.buckets.of_step[step]
                most[bucket] = max(most[bucket], pending)
                pending = 0
        live = np.array(most, dtype=np.int64)
        return np.where(live >= 0, live - decided, 0)

    def _plan(self, decisions: Decisions, program: Program) -> Plan:
        peak = peak_bytes(program, self.memory.alignment)
        return Plan(
            decisions, program, peak, max(peak, self.memory.least_arena) + self.memory.of_operations(program)
        )

    def _for_values(self, plan: Plan, budget: int) -> int:
        """Bytes of the budget that are left for live values."""
        return budget - self.memory.of_operations(plan.program)
