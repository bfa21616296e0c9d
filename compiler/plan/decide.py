"""Keep, recompute or offload: a mixed-integer program (HiGHS) over the values that the backward needs.

Binary variables: keep[v], offload[v] of every forward value, recompute[i] of every forward operation.

    minimize    sum seconds[i] recompute[i] + sum io_seconds[v] offload[v]
    subject to  keep[v] + offload[v] + recompute[producer v] >= 1              v read by the backward
                keep[u] + offload[u] + recompute[producer u] >= recompute[i]   u read by operation i
                decided bytes alive in window w <= budget - other[w]           every window w of the step

Decided bytes are those of kept values from definition to last use, and of recomputed ones from first to last
use in the backward. `other[w]` is what is live in the window beside them (working sets, gradients, adapters),
measured on a schedule; the planner (planner.py) alternates between this program and measuring.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import highspy
import numpy as np

from compiler.plan.cost import Rates
from compiler.plan.program import Kind, Program
from compiler.plan.rematerialize import Decisions

FORWARD_WINDOWS = 32
BACKWARD_WINDOWS = 160
SMALL_SHARE = 512
"""Values below this part of the largest one do not count against the budget; what they take together is
measured as `other`."""
GAP = 1e-3
INTEGRAL = 1e-6
EXCESS_SECONDS_PER_MB = 10.0
SECONDS_PER_KEPT_BYTE = 1e-15
"""Breaks ties: what costs nothing to recompute is not kept."""


@dataclass(frozen=True)
class Crossing:
    """A forward value in steps of the undecided program: kept it would live in [born, dead), recomputed in
    [need, dead)."""

    value: int
    nbytes: int
    born: int
    need: int
    dead: int


class Decider:
    """The mixed-integer program of one program; `decide` solves it for a budget and measured other bytes."""

    def __init__(self, program: Program, rates: Rates, offload: bool) -> None:
        self.program = program
        self.rates = rates
        self.offload = offload
        self.small = max((value.nbytes for value in program.values), default=0) // SMALL_SHARE
        self.producer = {v: i for i, op in enumerate(program.ops) for v in op.writes if op.forward}
        self.direct: dict[int, list[int]] = defaultdict(list)
        for step, op in enumerate(program.ops):
            if not op.forward:
                for value in op.reads:
                    if value in self.producer:
                        self.direct[value].append(step)
        self.crossings = self._crossings()
        first_backward = next((i for i, op in enumerate(program.ops) if not op.forward), len(program.ops))
        steps = np.array([c.dead for c in self.crossings] + [first_backward, len(program.ops)])
        self.window_ends = np.unique(
            np.concatenate(
                [
                    np.linspace(0, first_backward, FORWARD_WINDOWS + 1)[1:].astype(np.int64),
                    np.quantile(steps, np.linspace(0, 1, BACKWARD_WINDOWS), method="nearest").astype(
                        np.int64
                    ),
                ]
            )
        )

    @property
    def windows(self) -> int:
        return len(self.window_ends)

    def windows_of(self, born: int, dead: int) -> tuple[int, int]:
        """Half-open range of the windows that the lifetime [born, dead) touches."""
        first = int(np.searchsorted(self.window_ends, born, side="right"))
        last = int(np.searchsorted(self.window_ends, dead - 1, side="right"))
        return first, min(last + 1, len(self.window_ends))

    def _crossings(self) -> list[Crossing]:
        """Every forward value that the backward may need, directly or to recompute something."""
        ops = self.program.ops
        first_need: dict[int, int] = {}
        readers: dict[int, list[int]] = defaultdict(list)
        for index, op in enumerate(ops):
            if op.forward:
                for value in op.reads:
                    readers[value].append(index)
        never = len(ops)
        result = []
        for index in reversed(range(len(ops))):
            if not ops[index].forward:
                continue
            needs = [never]
            for value in ops[index].writes:
                uses = self.direct.get(value, [])
                through = [first_need[r] for r in readers.get(value, []) if first_need[r] < never]
                if uses or through:
                    need = min(uses or through)
                    dead = max((*uses, *through)) + 1
                    result.append(Crossing(value, self.program.values[value].nbytes, index, need, dead))
                    needs.append(need)
            first_need[index] = min(needs)
        return result[::-1]

    def decided_bytes(self, decisions: Decisions) -> np.ndarray:
        """Bytes of kept, recomputed and loaded values in every window, under the decisions."""
        decided = np.zeros(len(self.window_ends), dtype=np.int64)
        needed = set(self.direct)
        for op in self.program.ops:
            if op.name in decisions.recompute:
                needed.update(op.reads)
        for crossing in self.crossings:
            name = self.program.values[crossing.value].name
            producer = self.program.ops[self.producer[crossing.value]].name
            comes_back = name in decisions.offload or producer in decisions.recompute
            if crossing.nbytes > self.small and (comes_back or crossing.value in needed):
                first, last = self.windows_of(crossing.need if comes_back else crossing.born, crossing.dead)
                decided[first:last] += crossing.nbytes
        return decided

    def decide(self, budget: int, other: np.ndarray) -> Decisions | None:
        """The fastest decisions whose bytes fit `budget` in every window; None if there are none."""
        model = _Model()
        recompute = {}
        for index, op in enumerate(self.program.ops):
            if op.forward:
                recompute[index] = model.binary(op.seconds)
        available: dict[int, list[int]] = {}
        windows: list[list[tuple[int, float]]] = [[] for _ in self.window_ends]
        offloaded: dict[int, int] = {}
        for crossing in self.crossings:
            value = self.program.values[crossing.value]
            again = recompute[self.producer[crossing.value]]
            columns = [(again, crossing.need)]
            if value.kind is not Kind.WEIGHT:
                columns.append((model.binary(SECONDS_PER_KEPT_BYTE * value.nbytes), crossing.born))
            alone = len(self.program.ops[self.producer[crossing.value]].writes) == 1
            if self.offload and alone and value.nbytes > self.small:
                offloaded[crossing.value] = model.binary(self.rates.offload_seconds(value.nbytes))
                columns.append((offloaded[crossing.value], crossing.need))
            for column, start in columns if value.nbytes > self.small else ():
                for window in range(*self.windows_of(start, crossing.dead)):
                    windows[window].append((column, value.nbytes / 1e6))
            available[crossing.value] = [column for column, _ in columns]
        for value_index in self.direct:
            model.at_least([(c, 1.0) for c in available[value_index]], 1.0)
        for index, column in recompute.items():
            for operand in self.program.ops[index].reads:
                if operand in self.producer and operand in available:
                    model.at_least([*((c, 1.0) for c in available[operand]), (column, -1.0)], 0.0)
        for terms, beside in zip(windows, other, strict=True):
            model.at_most_megabytes(terms, (budget - int(beside)) / 1e6)
        solution = model.solve()
        if solution is None:
            return None
        chosen = {i for i, column in recompute.items() if solution[column] > 0.5}
        away = {v for v, column in offloaded.items() if solution[column] > 0.5}
        return Decisions(
            frozenset(self.program.ops[i].name for i in chosen),
            frozenset(self.program.values[v].name for v in away if self.producer[v] not in chosen),
        )


class _Model:
    """A program over binary variables, gathered row by row and solved by relaxing, fixing and rounding.

    The relaxation is nearly integral: what it decides fully is fixed, and a small integer program decides the
    rest. That one may exceed the memory rows by a penalized slack, so that it always has a solution; the
    planner measures what comes out.
    """

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.rows: list[list[tuple[int, float]]] = []
        self.row_lower: list[float] = []
        self.row_upper: list[float] = []
        self.excess = self.binary(EXCESS_SECONDS_PER_MB)

    def binary(self, cost: float) -> int:
        """A new column; its index."""
        self.cost.append(cost)
        return len(self.cost) - 1

    def at_least(self, terms: list[tuple[int, float]], bound: float) -> None:
        self._row(terms, bound, highspy.kHighsInf)

    def at_most_megabytes(self, terms: list[tuple[int, float]], bound: float) -> None:
        total: dict[int, float] = defaultdict(float)
        for column, factor in terms:
            # Results of one operation share its column, and the solver refuses a column twice in a row.
            total[column] += factor
        self._row([*total.items(), (self.excess, -1.0)], -highspy.kHighsInf, bound)

    def _row(self, terms: list[tuple[int, float]], lower: float, upper: float) -> None:
        self.rows.append(terms)
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def solve(self) -> np.ndarray | None:
        """Values of the columns, or None if even the relaxation has no solution."""
        count = len(self.cost)
        with _no_banner():
            solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("mip_rel_gap", GAP)
        solver.setOptionValue("random_seed", 0)
        solver.passModel(self._relaxation())
        solver.changeColBounds(self.excess, 0.0, 0.0)
        relaxed = _optimum(solver)
        if relaxed is None:
            return None
        whole = np.round(relaxed)
        for column in range(count):
            if column == self.excess:
                solver.changeColBounds(column, 0.0, highspy.kHighsInf)
            elif abs(relaxed[column] - whole[column]) < INTEGRAL:
                solver.changeColBounds(column, whole[column], whole[column])
            else:
                solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        return _optimum(solver)

    def _relaxation(self) -> highspy.HighsLp:
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.cost), len(self.rows)
        lp.col_cost_ = np.array(self.cost)
        lp.col_lower_, lp.col_upper_ = np.zeros(len(self.cost)), np.ones(len(self.cost))
        lp.row_lower_, lp.row_upper_ = np.array(self.row_lower), np.array(self.row_upper)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.cumsum([0, *(len(row) for row in self.rows)])
        lp.a_matrix_.index_ = np.array([column for row in self.rows for column, _ in row], dtype=np.int32)
        lp.a_matrix_.value_ = np.array([factor for row in self.rows for _, factor in row], dtype=np.float64)
        return lp


@contextmanager
def _no_banner() -> Iterator[None]:
    """HiGHS prints its version to the process's stdout when its first solver is made, before any option is
    read."""
    stdout = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _optimum(solver: highspy.Highs) -> np.ndarray | None:
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return np.array(solver.getSolution().col_value)
