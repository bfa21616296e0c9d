"""A binary linear program, solved by HiGHS with relax-and-fix.

Input: columns with costs, rows with bounds; the last rows are limits, whose bounds are given with each
question.
Output: values of the columns.
Stages: the relaxation is nearly integral. Columns that it sets to 0 or 1 are fixed, and a small integer
program decides the rest; a penalized slack lets that one exceed the limits, so that it always has a solution.
Invariant: no question changes the program, so that answers do not depend on earlier questions, and several
threads may ask at once. HiGHS runs on one thread and without a time limit.
What it does not do: prove that the fixed columns belong to an optimum.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from threading import Lock

import highspy
import numpy as np

GAP = 1e-3
INTEGRAL = 1e-6
COST_OF_EXCESS = 10.0
"""Of one unit above the limits."""


class BinaryProgram:
    """Built row by row, limits last."""

    def __init__(self) -> None:
        self._cost: list[float] = []
        self._binary: list[bool] = []
        self._rows: list[list[tuple[int, float]]] = []
        self._least: list[float] = []
        self._limits = 0
        self._excess = self.continuous(COST_OF_EXCESS)

    def binary(self, cost: float) -> int:
        """A new column; its index."""
        self._binary.append(True)
        self._cost.append(cost)
        return len(self._cost) - 1

    def continuous(self, cost: float) -> int:
        """A new column of any value from 0 on; its index."""
        self._binary.append(False)
        self._cost.append(cost)
        return len(self._cost) - 1

    def at_least(self, terms: list[tuple[int, float]], bound: float) -> None:
        """A row; none may follow a limit."""
        assert not self._limits, "limits are the last rows"
        self._rows.append(terms)
        self._least.append(bound)

    def at_most(self, terms: list[tuple[int, float]]) -> None:
        """A limit, whose bound is given when the program is solved."""
        total: dict[int, float] = defaultdict(float)
        for column, factor in terms:
            # Results of one operation share its column, and the solver refuses a column twice in a row.
            total[column] += factor
        self._rows.append([*total.items(), (self._excess, -1.0)])
        self._limits += 1

    def cheapest(self, limits: np.ndarray) -> np.ndarray | None:
        """Values of the columns, or None if even the relaxation has no solution within the limits."""
        solver = _solver()
        solver.passModel(self._relaxation(limits))
        solver.changeColBounds(self._excess, 0.0, 0.0)
        relaxed = _optimum(solver)
        if relaxed is None:
            return None
        whole = np.round(relaxed)
        for column, binary in enumerate(self._binary):
            if not binary:
                solver.changeColBounds(column, 0.0, highspy.kHighsInf)
            elif abs(relaxed[column] - whole[column]) < INTEGRAL:
                solver.changeColBounds(column, whole[column], whole[column])
            else:
                solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        return _optimum(solver)

    def least_excess(self, limits: np.ndarray) -> float:
        """The least by which all limits have to be raised until the relaxation has a solution."""
        solver = _solver()
        relaxation = self._relaxation(limits)
        relaxation.col_cost_ = np.arange(len(self._cost)) == self._excess
        solver.passModel(relaxation)
        solution = _optimum(solver)
        assert solution is not None, "without limits there is a solution"
        return float(solution[self._excess])

    @cached_property
    def _matrix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts of the rows, columns, factors."""
        starts = np.cumsum([0, *(len(row) for row in self._rows)])
        columns = np.array([column for row in self._rows for column, _ in row], dtype=np.int32)
        return (
            starts,
            columns,
            np.array([factor for row in self._rows for _, factor in row], dtype=np.float64),
        )

    def _relaxation(self, limits: np.ndarray) -> highspy.HighsLp:
        assert len(limits) == self._limits
        unbounded = highspy.kHighsInf
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self._cost), len(self._rows)
        lp.col_cost_ = np.array(self._cost)
        lp.col_lower_ = np.zeros(len(self._cost))
        lp.col_upper_ = np.where(self._binary, 1.0, unbounded)
        lp.row_lower_ = np.array([*self._least, *[-unbounded] * self._limits])
        lp.row_upper_ = np.array([*[unbounded] * len(self._least), *limits])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = self._matrix
        return lp


def _solver() -> highspy.Highs:
    with _first_solver:
        _banner()
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", GAP)
    solver.setOptionValue("random_seed", 0)
    solver.setOptionValue("parallel", "off")
    return solver


_first_solver = Lock()


@cache
def _banner() -> None:
    """HiGHS prints its version to the process's stdout when its first solver is made, before any option is
    read.
    """
    with _stdout_to_nowhere():
        highspy.Highs()


@contextmanager
def _stdout_to_nowhere() -> Iterator[None]:
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
