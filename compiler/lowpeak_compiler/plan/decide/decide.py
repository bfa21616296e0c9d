"""Keep, recompute or offload each saved tensor: a mixed-integer program (HiGHS).

Binary variables: keep[v], offload[v] of every forward value, recompute[i] of every forward operation.

    minimize    sum seconds[i] recompute[i] + sum io_seconds[v] offload[v]
    subject to  keep[v] + offload[v] + recompute[producer v] >= 1              v read by the backward
                keep[u] + offload[u] + recompute[producer u] >= recompute[i]   u read by operation i
                extension[v, i] + keep[v] >= recompute[i]                      i needs v before the backward
                decided bytes live in bucket t <= budget - undecided[t]        every time bucket t

Decided bytes are those of kept values from definition to last use, and of recomputed and loaded values from
first to last use in the backward. `undecided[t]` are all other live bytes of the bucket (workspaces,
gradients, adapters), measured on a schedule; the planner (planner.py) alternates between this program and
measuring. If the target counts bytes for each operation of the program, those of added operations are decided
bytes of every bucket. The tiles of an operation share its variables, as do the tiles of a result
(candidates.py).

Input: the baseline program; a budget; undecided bytes in every bucket. Output: decisions, or None.
Invariant: equal questions have equal answers, whatever was asked before.
What it does not do: measure. Bytes are bounded by bucket, and the order may change after the decisions.
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
    TimeBuckets,
    find_candidates,
    find_saved_tensors,
    find_units,
)
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions

OFFLOAD_OPS = 3
"""Operations that offloading a value adds: store, load, loaded."""
UNBOUNDED = 1 << 60
SECONDS_PER_KEPT_BYTE = 1e-15
"""Breaks ties: a value that costs nothing to recompute is not kept."""


class Decider:
    """The mixed-integer program of one baseline program. Several threads may ask at once."""

    def __init__(self, program: Program, rates: Rates, offload: bool, bytes_per_op: float = 0.0) -> None:
        self.program = program
        self.bytes_per_op = bytes_per_op
        self.program_bytes = int(bytes_per_op * len(program.ops))
        self.rates = rates
        self.offload = offload
        self.units = find_units(program)
        saved = find_saved_tensors(program, self.units)
        first_backward = next((i for i, op in enumerate(program.ops) if not op.forward), len(program.ops))
        self.buckets = TimeBuckets(first_backward, len(program.ops), [c.dead for c in saved])
        self.candidates = find_candidates(program, self.units, saved, self.buckets)

    def decided_bytes(self, decisions: Decisions) -> np.ndarray:
        """Live bytes of kept, recomputed and loaded values in every time bucket, under the decisions."""
        decided = np.zeros(len(self.buckets), dtype=np.int64)
        recomputed = [self.program.ops[unit.steps[0]].name in decisions.recompute for unit in self.units.all]
        needed = {value for value, candidate in self.candidates.items() if candidate.direct}
        for unit, runs in zip(self.units.all, recomputed, strict=True):
            if runs:
                needed.update(unit.reads)
        for key, candidate in self.candidates.items():
            if candidate.small:
                continue
            offloaded = self.program.values[candidate.values[0]].name in decisions.offload
            if offloaded or recomputed[key.unit]:
                decided += candidate.recomputed
                decided += sum(
                    (more for unit, more in candidate.extension.items() if recomputed[unit]), start=0
                )
            elif key in needed:
                decided += candidate.kept
        return decided

    @cached_property
    def _formulation(self) -> _Formulation:
        """Everything but the bounds of the time buckets, which are the model's last rows."""
        model = BinaryProgram()
        recompute = [model.binary(unit.seconds) for unit in self.units.all]
        buckets: list[list[tuple[int, float]]] = [[] for _ in range(len(self.buckets))]
        added = [(column, len(unit.steps)) for column, unit in zip(recompute, self.units.all, strict=True)]
        available: dict[Result, list[int]] = {}
        offloaded: dict[Result, int] = {}
        for key, candidate in self.candidates.items():
            columns = [(recompute[key.unit], candidate.recomputed)]
            kept: list[tuple[int, float]] = []
            if candidate.kind is not Kind.WEIGHT:
                columns.append((model.binary(SECONDS_PER_KEPT_BYTE * candidate.nbytes), candidate.kept))
                kept = [(columns[-1][0], 1.0)]
            extensions: list[tuple[int, np.ndarray]] = []
            for unit, more in candidate.extension.items():
                extensions.append((model.binary(0.0), more))
                model.at_least([(extensions[-1][0], 1.0), *kept, (recompute[unit], -1.0)], 0.0)
            if self.offload and candidate.sole_output and not candidate.small:
                offloaded[key] = model.binary(self.rates.offload_seconds(candidate.nbytes))
                columns.append((offloaded[key], candidate.recomputed))
                added.append((offloaded[key], OFFLOAD_OPS * len(candidate.values)))
            for column, profile in (*columns, *extensions) if not candidate.small else ():
                for bucket in np.flatnonzero(profile):
                    buckets[bucket].append((column, profile[bucket] / 1e6))
            available[key] = [column for column, _ in columns]
            if candidate.direct:
                model.at_least([(c, 1.0) for c in available[key]], 1.0)
        for reader, column in zip(self.units.all, recompute, strict=True):
            for operand in reader.reads:
                if operand in available:
                    model.at_least([*((c, 1.0) for c in available[operand]), (column, -1.0)], 0.0)
        if self.bytes_per_op:
            growth = model.continuous(0.0)
            model.at_least(
                [(growth, 1.0), *((c, -count * self.bytes_per_op / 1e6) for c, count in added)], 0.0
            )
            for terms in buckets:
                terms.append((growth, 1.0))
        for terms in buckets:
            model.at_most(terms)
        return _Formulation(model, recompute, offloaded)

    def unbounded(self) -> Decisions:
        """The fastest decisions, whatever the memory."""
        decisions = self.decide(UNBOUNDED, np.zeros(len(self.buckets), dtype=np.int64))
        assert decisions is not None
        return decisions

    def decide(self, budget: int, undecided: np.ndarray) -> Decisions | None:
        """The fastest decisions whose bytes fit `budget` in every time bucket; None if there are none.

        `undecided`: in each bucket the live bytes of all that is not decided about.
        """
        formulation = self._formulation
        solution = formulation.model.cheapest((budget - self.program_bytes - undecided) / 1e6)
        if solution is None:
            return None
        chosen = {unit for unit, column in enumerate(formulation.recompute) if solution[column] > 0.5}
        offloaded = {key for key, column in formulation.offloaded.items() if solution[column] > 0.5}
        return Decisions(
            frozenset(self.program.ops[step].name for unit in chosen for step in self.units.all[unit].steps),
            frozenset(
                self.program.values[value].name
                for key in offloaded
                if key.unit not in chosen
                for value in self.candidates[key].values
            ),
        )

    def least(self, undecided: np.ndarray) -> int:
        """The smallest budget for which the relaxation has a solution, rounded up by a millionth."""
        excess = self._formulation.model.least_excess((-self.program_bytes - undecided) / 1e6)
        return int(1e6 * excess * (1 + 1e-6)) + 1


@dataclass(frozen=True)
class _Formulation:
    """The program, and its columns: `recompute` by unit, `offloaded` by result."""

    model: BinaryProgram
    recompute: list[int]
    offloaded: dict[Result, int]
