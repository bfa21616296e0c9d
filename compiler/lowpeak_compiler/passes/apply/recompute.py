"""Checkpoint boundaries: chosen forward nodes run again just before their first use in the backward.

    f = op(x); ...; g = backward(f)  ->  f = op(x); ...; f_recomputed = op(x); g = backward(f_recomputed)

The forward value dies after the forward. Operands of a copy are copies themselves where they were chosen too;
views of a copied value are made anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.apply.backward_reads import named_call, redirect_backward
from lowpeak_compiler.passes.properties import JOINT, LOWERED, ORDERED, OWN_MATRIX, RECOMPUTED
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.plan.rematerialize import COPY_SUFFIX


@dataclass(frozen=True)
class Recompute(Pass):
    """Runs forward operations again just before the backward reads them.

    `nodes`: names of forward nodes to run again; `views`: names of nodes that are only views on the target.
    """

    requires = frozenset({JOINT, LOWERED})
    ensures = frozenset({RECOMPUTED})
    ends = frozenset({ORDERED, OWN_MATRIX})

    nodes: frozenset[str]
    views: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        return redirect_backward(graph, self.views, lambda node: node.name in self.nodes, _copy)


def _copy(graph: TrainGraph, node: fx.Node, operands: dict[fx.Node, fx.Node]) -> fx.Node:
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda operand: operands.get(operand, operand))
    copy = named_call(graph, node.name + COPY_SUFFIX, node.target, args, kwargs)
    copy.meta = dict(node.meta)
    return copy
