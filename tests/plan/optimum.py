"""The proven optimum of small training steps (CP-SAT): what to recompute, in which order, at once.

Every operation has a place of its own in the order, every forward operation an optional second one. A value
lives from its operation to its last reader; which of the two values a backward operation reads is decided by
whether the second is there. All that lives is a cumulative resource of the budget.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any

from ortools.sat.python import cp_model

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.measure import Plan
from lowpeak_compiler.plan.program import Op, Program
from lowpeak_compiler.plan.rematerialize import COPY_SUFFIX

SECONDS_RESOLUTION = 1e-6

# Linear expressions and variables of the solver, and booleans among them.
Linear = Any
Literal = Any


@dataclass(frozen=True)
class Optimum:
    """`value` is the best found, or None; no plan goes below `bound`; `proven` if they are one."""

    value: float | None
    bound: float
    proven: bool


def least_seconds(program: Program, budget: int, *, limit: float, start: Plan | None = None) -> Optimum:
    """The shortest step within `budget` bytes, searched for `limit` seconds from a plan that may be given."""
    model = _Model(program, budget)
    cost = [round(program.ops[step].seconds / SECONDS_RESOLUTION) for step in model.again]
    model.cp.minimize(sum(c * again for c, again in zip(cost, model.again.values(), strict=True)))
    once = sum(op.seconds for op in program.ops)
    if start is not None:
        model.begin_with(start)
    return model.solve(limit, lambda units: once + units * SECONDS_RESOLUTION)


def least_peak(program: Program, known: int, *, limit: float, least: int = 0) -> Optimum:
    """The smallest peak in bytes, from `least` to a `known` one, whatever the time."""
    model = _Model(program, known, least)
    model.cp.minimize(model.capacity)
    return model.solve(limit, lambda units: units * model.unit)


def peak_of(program: Program, plan: Plan) -> float | None:
    """The peak in bytes that this model counts for a plan of `program`; None if it cannot be run."""
    model = _Model(program, sum(value.nbytes for value in plan.program.values), 0)
    for variable, number in model.choices(plan):
        model.cp.add(variable == number)
    model.cp.minimize(model.capacity)
    return model.solve(10.0, lambda units: units * model.unit).value


class _Model:
    """Places and live ranges of one program. `least`: the budget is a variable from there on."""

    def __init__(self, program: Program, budget: int, least: int | None = None) -> None:
        self.program = program
        self.cp = cp_model.CpModel()
        self.unit = reduce(gcd, (value.nbytes for value in program.values if value.nbytes), 0) or 1
        count = len(program.ops)
        forward = [step for step, op in enumerate(program.ops) if op.forward]
        self.horizon = count + len(forward)
        self.start = [self._place(f"start{step}") for step in range(count)]
        self.again: dict[int, Literal] = {step: self.cp.new_bool_var(f"again{step}") for step in forward}
        self.again_start = {step: self._place(f"again_start{step}") for step in forward}
        self.producer = {value: step for step, op in enumerate(program.ops) for value in op.writes}
        self.readers: dict[int, list[int]] = defaultdict(list)
        for step, op in enumerate(program.ops):
            for value in op.reads:
                self.readers[value].append(step)
        most = budget // self.unit
        self.capacity = most if least is None else self.cp.new_int_var(least // self.unit, most, "capacity")
        self.intervals: list[Any] = []
        self.demands: list[int] = []
        self._one_at_a_time()
        self._ends()
        self._reads()
        self._live_ranges()
        self.cp.add_cumulative(self.intervals, self.demands, self.capacity)

    def begin_with(self, plan: Plan) -> None:
        for variable, number in self.choices(plan):
            self.cp.add_hint(variable, number)

    def choices(self, plan: Plan) -> Iterator[tuple[Linear, int]]:
        """Variables and what they are in a plan: places, and what runs again."""
        step_of = {op.name: step for step, op in enumerate(plan.program.ops)}
        for step, op in enumerate(self.program.ops):
            yield self.start[step], step_of[op.name]
            if step in self.again:
                copy = step_of.get(op.name + COPY_SUFFIX)
                yield self.again[step], int(copy is not None)
                if copy is not None:
                    yield self.again_start[step], copy

    def solve(self, limit: float, scale: Callable[[float], float]) -> Optimum:
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = limit
        solver.parameters.num_workers = 2
        solver.parameters.random_seed = 0
        status = solver.solve(self.cp)
        if status == cp_model.INFEASIBLE:
            return Optimum(None, float("inf"), True)
        bound = scale(solver.best_objective_bound)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Optimum(None, bound, False)
        return Optimum(scale(solver.objective_value), bound, status == cp_model.OPTIMAL)

    def _place(self, name: str) -> Linear:
        return self.cp.new_int_var(0, self.horizon - 1, name)

    def _one_at_a_time(self) -> None:
        units = [self.cp.new_fixed_size_interval_var(start, 1, "") for start in self.start]
        units += [
            self.cp.new_optional_fixed_size_interval_var(self.again_start[step], 1, again, "")
            for step, again in self.again.items()
        ]
        self.cp.add_no_overlap(units)

    def _ends(self) -> None:
        """When values die: of the first run of their operations, and of the second where that has readers."""
        self.end: dict[int, Linear] = {}
        self.again_end: dict[int, Linear] = {}
        for value, given in enumerate(self.program.values):
            if value not in self.producer and value not in self.readers and given.kind is not Kind.ADAPTER:
                continue
            self.end[value] = (
                self.horizon if self._pinned(value) else self.cp.new_int_var(1, self.horizon, f"end{value}")
            )
            step = self.producer.get(value)
            if step is None:
                continue
            self.cp.add(self.end[value] >= self.start[step] + 1)
            if step in self.again and self.readers[value]:
                end = self.again_end[value] = self.cp.new_int_var(1, self.horizon, f"again_end{value}")
                self.cp.add(end >= self.again_start[step] + 1)
                self.cp.add(self.again_start[step] >= self.start[step] + 1).only_enforce_if(self.again[step])

    def _pinned(self, value: int) -> bool:
        return self.program.values[value].kind is Kind.ADAPTER or value in self.program.kept

    def _reads(self) -> None:
        """A forward operation reads the first run of an operand, all else the second where there is one."""
        for value in self.end:
            for reader in self.readers[value]:
                self._read(value, self.start[reader], [], self.program.ops[reader].forward)
                if reader in self.again:
                    self._read(value, self.again_start[reader], [self.again[reader]], False)

    def _read(self, value: int, at: Linear, given: list[Literal], first_only: bool) -> None:
        step = self.producer.get(value)
        if step is not None:
            self.cp.add(at >= self.start[step] + 1)
        if step is None or value not in self.again_end or first_only:
            self.cp.add(self.end[value] >= at + 1).only_enforce_if(given)
            return
        again = self.again[step]
        self.cp.add(self.end[value] >= at + 1).only_enforce_if([*given, ~again])
        self.cp.add(self.again_end[value] >= at + 1).only_enforce_if([*given, again])
        self.cp.add(at >= self.again_start[step] + 1).only_enforce_if([*given, again])

    def _live_ranges(self) -> None:
        taken_over: dict[tuple[int, bool], Linear] = {}
        for step, op in enumerate(self.program.ops):
            self._in_place(step, op, False, taken_over)
            if step in self.again:
                self._in_place(step, op, True, taken_over)
        for value, end in self.end.items():
            size = self.program.values[value].nbytes // self.unit
            maker = self.producer.get(value)
            if not size:
                continue
            if maker is None:
                self._live(0, end, size)
                continue
            self._live(self.start[maker] + taken_over.get((value, False), 0), end, size)
            if maker in self.again:
                begin = self.again_start[maker]
                end = self.again_end.get(value, begin + 1)
                self._live(begin + taken_over.get((value, True), 0), end, size, self.again[maker])

    def _live(self, lower: Linear, upper: Linear, size: int, present: Literal = True) -> None:
        length = self.cp.new_int_var(0, self.horizon, "")
        begin = self.cp.new_int_var(0, self.horizon, "")
        self.cp.add(begin == lower)
        self.intervals.append(self.cp.new_optional_interval_var(begin, length, upper, present, ""))
        self.demands.append(size)

    def _in_place(self, step: int, op: Op, again: bool, taken_over: dict[tuple[int, bool], Linear]) -> None:
        """Which outputs take over the bytes of an input that dies: they live one step less."""
        at = self.again_start[step] if again else self.start[step]
        by_written: dict[int, list[Literal]] = defaultdict(list)
        by_read: dict[int, list[Literal]] = defaultdict(list)
        sizes = [value.nbytes for value in self.program.values]
        for written, read in op.in_place:
            if sizes[written] != sizes[read] or (again and written not in self.again_end):
                continue
            has_copy = (again or not op.forward) and read in self.again_end
            ends = [] if self._pinned(read) else [(self.end[read], False)]
            ends += [(self.again_end[read], True)] if has_copy else []
            for end, of_copy in ends:
                taken = self.cp.new_bool_var("")
                self.cp.add(end <= at + 1).only_enforce_if(taken)
                if has_copy:
                    copied = self.again[self.producer[read]]
                    self.cp.add_implication(taken, copied if of_copy else ~copied)
                if again:
                    self.cp.add_implication(taken, self.again[step])
                by_written[written].append(taken)
                by_read[read].append(taken)
        for choices in (*by_written.values(), *by_read.values()):
            self.cp.add_at_most_one(choices)
        taken_over.update({(written, again): sum(choices) for written, choices in by_written.items()})
