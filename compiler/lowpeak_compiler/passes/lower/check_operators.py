"""The graph stays as it is. What no kernel of the target computes is found here, before anything is planned.

Of `lowpeak::` operators only: which ATen operators a runtime has is known where its programs are written.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch._ops import OpOverload

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.properties import LOWERED, NORMAL
from lowpeak_compiler.passes.stage import Pass

NAMESPACE = "lowpeak::"
DEQUANTIZE, DEQUANTIZE_ROWS = "dequantize", "dequantize_rows"


@dataclass(frozen=True)
class CheckOperators(Pass):
    """Checks that every operator of ours that is left has a kernel on the target.

    `operators`: their names.
    """

    requires = frozenset({NORMAL})
    ensures = frozenset({LOWERED})

    operators: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        return 0

    def violation(self, graph: TrainGraph) -> str | None:
        for node in graph.operations():
            target = node.target
            name = target._schema.name if isinstance(target, OpOverload) else ""
            if name.startswith(NAMESPACE) and name.removeprefix(NAMESPACE) not in self.operators:
                return f"{node.name} is {name}, which the target has no kernel for"
        return None
