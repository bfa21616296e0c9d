"""The search for a plan under a byte budget: decide, schedule, measure, and again with what was measured.

The decisions (decide.py) need to know how many bytes are live beside kept values, which depends on the decisions. So
the two alternate for a few rounds; a plan counts only with the peak that was measured on its schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.plan.cost import Rates
from compiler.plan.decide import Decider
from compiler.plan.liveness import live_bytes
from compiler.plan.program import Program
from compiler.plan.rematerialize import Decisions, carry_out
from compiler.plan.schedule import schedule

ROUNDS = 12
SHRINK = 0.995


@dataclass(frozen=True)
class Plan:
    """`program` is the scheduled step with the decisions carried out; `peak_bytes` its live bytes at the worst step."""

    decisions: Decisions
    program: Program
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """Predicted time of one step."""
        return self.program.seconds


class Planner:
    """Plans of one program, for any budget. `alignment`: bytes that every value is rounded up to."""

    def __init__(self, program: Program, rates: Rates, *, offload: bool, alignment: int) -> None:
        self.program = program
        self.rates = rates
        self.alignment = alignment
        self.decider = Decider(program, rates, offload)
        self.step_of = {op.name: index for index, op in enumerate(program.ops)}
        self._known: dict[Decisions, Plan] = {}
        self._smallest: Plan | None = None

    def fastest(self) -> Plan:
        """Everything kept that the backward needs, whatever the memory; dequantized weights are not."""
        decisions = self.decider.decide(1 << 60, np.zeros(len(self.decider.window_ends), dtype=np.int64))
        assert decisions is not None
        return self._measure(decisions)

    def smallest(self) -> Plan:
        """The plan with the lowest peak that the search finds."""
        if self._smallest is None:
            self._smallest = min(self._rounds(None), key=lambda plan: (plan.peak_bytes, plan.seconds))
        return self._smallest

    def plan(self, budget: int) -> Plan | None:
        """The fastest plan found whose peak is at most `budget` bytes; None if there is none."""
        fastest = self.fastest()
        if fastest.peak_bytes <= budget:
            return fastest
        if self.smallest().peak_bytes > budget:
            return None
        fitting = [plan for plan in (self.smallest(), *self._rounds(budget)) if plan.peak_bytes <= budget]
        return min(fitting, key=lambda plan: (plan.seconds, plan.peak_bytes))

    def _rounds(self, budget: int | None) -> list[Plan]:
        plan = self.fastest()
        plans = [plan]
        goal = budget
        for _ in range(ROUNDS):
            decisions = self.decider.decide(goal, self._other_bytes(plan))
            if decisions is None:
                break
            if decisions in self._known and self._known[decisions] in plans[1:]:
                if budget is None or plan.peak_bytes <= budget:
                    break
                goal = int(goal * SHRINK) - max(plan.peak_bytes - budget, 0)  # type: ignore[operator]
            plan = self._measure(decisions)
            plans.append(plan)
        return plans

    def _measure(self, decisions: Decisions) -> Plan:
        if decisions not in self._known:
            program = schedule(carry_out(self.program, decisions, self.rates))
            peak = max(live_bytes(program, self.alignment), default=0)
            self._known[decisions] = Plan(decisions, program, peak)
        return self._known[decisions]

    def _other_bytes(self, plan: Plan) -> np.ndarray:
        """In every window of the undecided program, the most bytes live beside what was decided about."""
        kept = self.decider.decided_bytes(plan.decisions)
        other = np.full(len(kept), np.iinfo(np.int64).min, dtype=np.int64)
        window = 0
        pending: list[int] = []
        for op, live in zip(plan.program.ops, live_bytes(plan.program, self.alignment), strict=True):
            pending.append(live)
            step = self.step_of.get(op.name)
            if step is None:
                continue
            window, _ = self.decider.windows_of(step, step + 1)
            other[window] = max(other[window], *pending)
            pending.clear()
        reached = np.where(other > np.iinfo(np.int64).min, other - kept, 0)
        return reached
