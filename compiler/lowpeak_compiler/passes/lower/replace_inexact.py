"""Operators whose kernel on the target gives other values than torch  ->  operators that are right there.

What replaces what is in passes/lower/inexact/; on which targets, in the operators' records.
tests/export/numerics/ compares every operator that a target has with float64.
"""

from __future__ import annotations

from dataclasses import dataclass

from lowpeak_artifact.ops.record import attached
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.lower.inexact import arithmetic, norms, rows, sigmoid  # noqa: F401
from lowpeak_compiler.passes.properties import FUSED_MATMUL, LOWERED, NORMAL
from lowpeak_compiler.passes.rewrite import Rule, rewrite
from lowpeak_compiler.passes.stage import Pass

REPLACEMENTS: dict[object, Rule] = attached("replacement")
"""Operator -> its rule."""


@dataclass(frozen=True)
class ReplaceInexact(Pass):
    """Replaces operators whose kernel on the target gives other values than torch."""

    requires = frozenset({NORMAL})
    ends = frozenset({FUSED_MATMUL, LOWERED})

    operators: frozenset[object]
    """Those that are to be replaced: keys of REPLACEMENTS."""

    def run(self, graph: TrainGraph) -> int:
        return rewrite(graph, {operator: (REPLACEMENTS[operator],) for operator in self.operators})
