"""Keep, recompute or offload: a mixed-integer program (HiGHS) over the values that the backward needs.

Binary variables: keep[v], offload[v] of every forward value, recompute[i] of every forward operation.

    minimize    sum seconds[i] recompute[i] + sum io_seconds[v] offload[v]
    subject to  keep[v] + offload[v] + recompute[producer v] >= 1              v read by the backward
                keep[u] + offload[u] + recompute[producer u] >= recompute[i]   u read by operation i
                longer[v, i] + keep[v] >= recompute[i]                         i needs v before others do
                decided bytes alive in window w <= budget - other[w]           every window w of the step

Decided bytes are those of kept values from definition to last use, and of recomputed ones from first to last
use in the backward. `other[w]` is what is live in the window beside them (working sets, gradients, adapters),
measured on a schedule; the planner (planner.py) alternates between this program and measuring.

The tiles of an operation share its variables, and those of a result (candidates.py).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import highspy
import numpy as np

from compiler.plan.candidates import Result, Windows, find_candidates, find_crossings, find_units
from compiler.plan.cost import Rates
from compiler.plan.program import Kind, Program
from compiler.plan.rematerialize import Decisions

GAP = 1e-3
INTEGRAL = 1e-6
EXCESS_SECONDS_PER_MB = 10.0
SECONDS_PER_KEPT_BYTE = 1e-15
"""Breaks ties: what costs nothing to recompute is not kept."""


class Decider:
    """The mixed-integer program of one program; `decide` solves it for a budget and measured other bytes."""

    def __init__(self, program: Program, rates: Rates, offload: bool) -> None:
        self.program = program
        self.rates = rates
        self.offload = offload
        self.units = find_units(program)
        crossings = find_crossings(program, self.units)
        first_backward = next((i for i, op in enumerate(program.ops) if not op.forward), len(program.ops))
        self.windows = Windows(first_backward, len(program.ops), [c.dead for c in crossings])
        self.candidates = find_candidates(program, self.units, crossings, self.windows)

    def decided_bytes(self, decisions: Decisions) -> np.ndarray:
        """Bytes of kept, recomputed and loaded values in every window, under the decisions."""
        decided = np.zeros(len(self.windows), dtype=np.int64)
        again = [self.program.ops[unit.steps[0]].name in decisions.recompute for unit in self.units.all]
        needed = {value for value, candidate in self.candidates.items() if candidate.direct}
        for unit, runs in zip(self.units.all, again, strict=True):
            if runs:
                needed.update(unit.reads)
        for key, candidate in self.candidates.items():
            if candidate.small:
                continue
            away = self.program.values[candidate.values[0]].name in decisions.offload
            if away or again[key.unit]:
                decided += candidate.again
                decided += sum((more for unit, more in candidate.longer.items() if again[unit]), start=0)
            elif key in needed:
                decided += candidate.kept
        return decided

    @cached_property
    def _formulation(self) -> _Formulation:
        """All but the bounds of the windows, which are the model's last rows."""
        model = _Model()
        recompute = [model.binary(unit.seconds) for unit in self.units.all]
        windows: list[list[tuple[int, float]]] = [[] for _ in range(len(self.windows))]
        available: dict[Result, list[int]] = {}
        offloaded: dict[Result, int] = {}
        for key, candidate in self.candidates.items():
            columns = [(recompute[key.unit], candidate.again)]
            kept: list[tuple[int, float]] = []
            if candidate.kind is not Kind.WEIGHT:
                columns.append((model.binary(SECONDS_PER_KEPT_BYTE * candidate.nbytes), candidate.kept))
                kept = [(columns[-1][0], 1.0)]
            longer: list[tuple[int, np.ndarray]] = []
            for unit, more in candidate.longer.items():
                longer.append((model.binary(0.0), more))
                model.at_least([(longer[-1][0], 1.0), *kept, (recompute[unit], -1.0)], 0.0)
            if self.offload and candidate.alone and not candidate.small:
                offloaded[key] = model.binary(self.rates.offload_seconds(candidate.nbytes))
                columns.append((offloaded[key], candidate.again))
            for column, profile in (*columns, *longer) if not candidate.small else ():
                for window in np.flatnonzero(profile):
                    windows[window].append((column, profile[window] / 1e6))
            available[key] = [column for column, _ in columns]
            if candidate.direct:
                model.at_least([(c, 1.0) for c in available[key]], 1.0)
        for reader, column in zip(self.units.all, recompute, strict=True):
            for operand in reader.reads:
                if operand in available:
                    model.at_least([*((c, 1.0) for c in available[operand]), (column, -1.0)], 0.0)
        for terms in windows:
            model.at_most_megabytes(terms, 0.0)
        return _Formulation(model, recompute, offloaded)

    def decide(self, budget: int, other: np.ndarray) -> Decisions | None:
        """The fastest decisions whose bytes fit `budget` in every window; None if there are none."""
        made = self._formulation
        made.model.row_upper[-len(other) :] = [(budget - int(beside)) / 1e6 for beside in other]
        solution = made.model.solve()
        if solution is None:
            return None
        chosen = {unit for unit, column in enumerate(made.recompute) if solution[column] > 0.5}
        away = {key for key, column in made.offloaded.items() if solution[column] > 0.5}
        return Decisions(
            frozenset(self.program.ops[step].name for unit in chosen for step in self.units.all[unit].steps),
            frozenset(
                self.program.values[value].name
                for key in away
                if key.unit not in chosen
                for value in self.candidates[key].values
            ),
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

    @cached_property
    def _matrix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts of the rows, columns, factors."""
        starts = np.cumsum([0, *(len(row) for row in self.rows)])
        columns = np.array([column for row in self.rows for column, _ in row], dtype=np.int32)
        return starts, columns, np.array([factor for row in self.rows for _, factor in row], dtype=np.float64)

    def _relaxation(self) -> highspy.HighsLp:
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.cost), len(self.rows)
        lp.col_cost_ = np.array(self.cost)
        lp.col_lower_, lp.col_upper_ = np.zeros(len(self.cost)), np.ones(len(self.cost))
        lp.row_lower_, lp.row_upper_ = np.array(self.row_lower), np.array(self.row_upper)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = self._matrix
        return lp


@dataclass(frozen=True)
class _Formulation:
    """The program's columns: recomputation by unit, offload by result."""

    model: _Model
    recompute: list[int]
    offloaded: dict[Result, int]


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
