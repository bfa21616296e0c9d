"""A dequantized matrix lives only from its node to its use: no two uses share one.

w = dequantize(...); y = f(w); ...; z = g(w)  ->  y = f(dequantize(...)); ...; z = g(dequantize(...))
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.properties import CORE, OWN_MATRIX
from lowpeak_compiler.passes.stage import Pass


@dataclass(frozen=True)
class DequantizePerUse(Pass):
    """Gives each reader of a dequantized matrix its own dequantization."""

    requires = frozenset({CORE})
    ensures = frozenset({OWN_MATRIX})

    def run(self, graph: TrainGraph) -> int:
        count = 0
        for node in graph.operations():
            if node.target is not torch.ops.lowpeak.dequantize.default:
                continue
            for user in list(node.users)[1:]:
                with graph.graph.inserting_before(user):
                    copy = graph.graph.node_copy(node)
                user.replace_input_with(node, copy)
                count += 1
            first = next(iter(node.users), None)
            if first is not None:
                first.prepend(node)
        return count
