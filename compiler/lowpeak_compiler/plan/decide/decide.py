"""Keep, recompute or offload: a mixed-integer program (HiGHS) over the values that the backward needs.

Binary variables: keep[v], offload[v] of every forward value, recompute[i] of every forward operation.

    minimize    sum seconds[i] recompute[i] + sum io_seconds[v] offload[v]
    subject to  keep[v] + offload[v] + recompute[producer v] >= 1              v read by the backward
                keep[u] + offload[u] + recompute[producer u] >= recompute[i]   u read by operation i
                longer[v, i] + keep[v] >= recompute[i]                         i needs v before others do
                decided bytes alive in window w <= budget - other[w]           every window w of the step

Decided bytes are those of kept values from definition to last use, and of recomputed ones from first to last
use in the backward. `other[w]` is what is live in the window beside them (working sets, gradients, adapters),
measured on a schedule; the planner (planner.py) alternates between this program and measuring. Where the
target counts bytes for each operation of the program, those of added ones are among the decided bytes of
every window.

The tiles of an operation share its variables, and those of a result (candidates.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.binary_program import BinaryProgram
from lowpeak_compiler.plan.decide.candidates import (
    Result,
    Windows,
    find_candidates,
    find_crossings,
    find_units,
)
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions

OFFLOAD_OPS = 3
"""Operations that are added for an offloaded value: store, load, loaded."""
UNBOUNDED = 1 << 60
SECONDS_PER_KEPT_BYTE = 1e-15
"""Breaks ties: what costs nothing to recompute is not kept."""


class Decider:
    """The mixed-integer program of one program; `decide` solves it for a budget and measured other bytes."""

    def __init__(self, program: Program, rates: Rates, offload: bool, bytes_per_op: float = 0.0) -> None:
        self.program = program
        self.bytes_per_op = bytes_per_op
        self.undecided_bytes = int(bytes_per_op * len(program.ops))
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
        model = BinaryProgram()
        recompute = [model.binary(unit.seconds) for unit in self.units.all]
        windows: list[list[tuple[int, float]]] = [[] for _ in range(len(self.windows))]
        added = [(column, len(unit.steps)) for column, unit in zip(recompute, self.units.all, strict=True)]
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
                added.append((offloaded[key], OFFLOAD_OPS * len(candidate.values)))
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
        if self.bytes_per_op:
            grown = model.continuous(0.0)
            model.at_least(
                [(grown, 1.0), *((c, -count * self.bytes_per_op / 1e6) for c, count in added)], 0.0
            )
            for terms in windows:
                terms.append((grown, 1.0))
        for terms in windows:
            model.at_most(terms)
        return _Formulation(model, recompute, offloaded)

    def unbounded(self) -> Decisions:
        """The fastest decisions, whatever the memory."""
        decisions = self.decide(UNBOUNDED, np.zeros(len(self.windows), dtype=np.int64))
        assert decisions is not None
        return decisions

    def decide(self, budget: int, other: np.ndarray) -> Decisions | None:
        """The fastest decisions whose bytes fit `budget` in every window; None if there are none.

        `other`: bytes in each window beside what is decided about.
        """
        made = self._formulation
        solution = made.model.cheapest((budget - self.undecided_bytes - other) / 1e6)
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

    def least(self, other: np.ndarray) -> int:
        """The smallest budget that `decide` has decisions for, about; more by at most a millionth."""
        excess = self._formulation.model.least_excess((-self.undecided_bytes - other) / 1e6)
        return int(1e6 * excess * (1 + 1e-6)) + 1


@dataclass(frozen=True)
class _Formulation:
    """The program's columns: recomputation by unit, offload by result."""

    model: BinaryProgram
    recompute: list[int]
    offloaded: dict[Result, int]
