"""The gated activation becomes one operator, whose backward needs gate and up only.

silu(gate) * up  ->  lowpeak::swiglu(gate, up)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import shape_of
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten


@dataclass(frozen=True)
class Swiglu:
    """Runs on the forward graph."""

    def run(self, graph: TrainGraph) -> int:
        return sum(_replace(graph, node) for node in graph.operations() if node.target is aten.mul.Tensor)


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    for silu, up in (node.args, node.args[::-1]):
        if not all(isinstance(x, fx.Node) for x in (silu, up)) or silu.target is not aten.silu.default:
            continue
        gate = silu.args[0]
        if shape_of(gate) != shape_of(up) or any(x.meta["val"].dtype != torch.float32 for x in (gate, up)):
            continue
        new = Rewriter(graph, node)
        return new.replace_with(new.call(torch.ops.lowpeak.swiglu.default, gate, up))
    return False
