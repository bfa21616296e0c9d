"""The logistic function where the target's own kernel is only a rough approximation.

    sigmoid(x)  ->  1 / (exp(-x) + 1)

Relative errors are those of exp, for every x; far below zero the result is 0, as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter

aten = torch.ops.aten


@dataclass(frozen=True)
class SigmoidByExp:
    """Runs on the lowered graph."""

    def run(self, graph: TrainGraph) -> int:
        nodes = [node for node in graph.operations() if node.target is aten.sigmoid.default]
        for node in nodes:
            new = Rewriter(graph, node)
            exponential = new.call(aten.exp.default, new.call(aten.neg.default, node.args[0]))
            new.replace_with(new.call(aten.reciprocal.default, new.call(aten.add.Scalar, exponential, 1)))
        return len(nodes)
