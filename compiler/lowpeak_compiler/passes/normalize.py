"""Brings a graph into the one form that the other passes, the planner and the targets expect.

Values are contiguous in their logical order, so what only restates that (alias, clone, contiguous) goes:

    alias(x), detach(x), clone(x), x.to(same dtype), _assert_tensor_metadata(x)  ->  x

and the rules of passes/rules/ apply until none does: layout, elementwise, padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import dense, dtype_of, operands
from lowpeak_compiler.passes.properties import CORE, NORMAL, PLAIN_PRODUCTS
from lowpeak_compiler.passes.rewrite import Rewriter, Rule, rewrite
from lowpeak_compiler.passes.rules import elementwise, layout, padding
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten

IDENTITIES = (
    aten.alias.default, aten.clone.default, aten.contiguous.default, aten.lift_fresh_copy.default,
    aten._to_copy.default, aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten.to.other,
    aten.dropout.default,
)  # fmt: skip


def drop_identity(graph: TrainGraph, node: fx.Node) -> bool:
    """alias(x), clone(x), x.to(same dtype) ...  ->  x"""
    arguments = operands(node)
    source = next(iter(arguments.values()))
    if arguments.get("train") or dtype_of(source) != dtype_of(node):
        return False
    return Rewriter(graph, node).replace_with(source)


def drop_assertion(graph: TrainGraph, node: fx.Node) -> bool:
    """_assert_tensor_metadata(x)  ->  nothing: shapes and types are static here"""
    graph.graph.erase_node(node)
    return True


NO_OPS: dict[object, tuple[Rule, ...]] = {
    **{op: (drop_identity,) for op in IDENTITIES},
    aten._assert_tensor_metadata.default: (drop_assertion,),
}


def drop_no_ops(graph: TrainGraph) -> int:
    """What the forward graph needs before patterns are looked for; detach stays, it stops a gradient."""
    return rewrite(graph, NO_OPS)


@dataclass(frozen=True)
class Normalize(Pass):
    """Brings every operation to the one form that later passes expect."""

    requires = frozenset({CORE})
    ensures = frozenset({NORMAL, PLAIN_PRODUCTS})

    def run(self, graph: TrainGraph) -> int:
        for node in graph.operations():
            node.meta["val"] = dense(node.meta["val"])
        table: dict[object, tuple[Rule, ...]] = {**NO_OPS, aten.detach.default: (drop_identity,)}
        for rules in (layout.RULES, elementwise.RULES, padding.RULES):
            for target, some in rules.items():
                table[target] = (*table.get(target, ()), *some)
        return rewrite(graph, table)
