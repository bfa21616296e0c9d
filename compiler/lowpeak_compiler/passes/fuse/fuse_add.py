"""Sums with a product go into the product, which adds to what is there.

    add(c, matmul(a, b, ...))                         ->  lowpeak::matmul_add(c, a, b, ...)
    add(c, quantized_linear_input_gradient(dy, w))    ->  quantized_linear_input_gradient_add(c, dy, w)
    add(c, rms_norm_backward(dy, x, weight, root))    ->  rms_norm_backward(dy, x, weight, root, c)

if nothing else reads the product; views between the two are taken over. The result may take the bytes of c.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import shape_of
from lowpeak_compiler.passes.properties import FUSED_MATMUL, FUSED_QUANTIZED, LOWERED
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
FUSED = {
    lowpeak.matmul.default: "matmul_add",
    lowpeak.quantized_linear_input_gradient.default: "quantized_linear_input_gradient_add",
    lowpeak.rms_norm_backward.default: "rms_norm_backward",
}


@dataclass(frozen=True)
class FuseAdd(Pass):
    """Lets a product add to what is there, in place of a sum behind it.

    `operators`: names of the fused operators that the target has.
    """

    requires = frozenset({FUSED_MATMUL, FUSED_QUANTIZED})
    ends = frozenset({LOWERED})

    operators: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        position = {node: index for index, node in enumerate(graph.operations())}
        count = 0
        for node in graph.operations():
            if node.target is not aten.add.Tensor or node.kwargs:
                continue
            # The later of two products is the one that adds.
            order = sorted(node.args, key=lambda operand: position.get(_product(operand), -1), reverse=True)
            count += any(self._fuse(graph, node, operand, position) for operand in order)
        return count

    def misses(self, graph: TrainGraph) -> list[Miss]:
        sums = [node for node in graph.operations() if node.target is aten.add.Tensor]
        near = [
            (node, self._problem(node, operand))
            for node in sums
            for operand in node.args
            if isinstance(operand, fx.Node) and FUSED.get(_product(operand).target) in self.operators
        ]
        return [Miss.of(node, reason) for node, reason in near if reason]

    def _problem(self, node: fx.Node, operand: fx.Node) -> str | None:
        """Why the product that the operand is, or is a view of, does not add; None if it does."""
        product = _product(operand)
        if node.kwargs:
            return f"the sum has {', '.join(f'{key}={value}' for key, value in node.kwargs.items())}"
        (addend,) = [x for x in node.args if x is not operand] or [operand]
        if addend is operand:
            return f"{product.name} is added to itself"
        if not isinstance(addend, fx.Node) or shape_of(addend) != shape_of(node):
            return f"what is added to {product.name} is broadcast"
        if any(len(n.users) > 1 for n in (operand, product)):
            return f"something else reads {product.name} too"
        if shape_of(operand) != shape_of(node):
            return f"{product.name} is broadcast"
        if product.target is lowpeak.rms_norm_backward.default and product.args[4] is not None:
            return f"{product.name} adds to another value already"
        return None

    def _fuse(self, graph: TrainGraph, node: fx.Node, operand: fx.Node, position: dict[fx.Node, int]) -> bool:
        product = _product(operand)
        name = FUSED.get(product.target)
        if name not in self.operators or self._problem(node, operand):
            return False
        (addend,) = [x for x in node.args if x is not operand]
        new = Rewriter(graph, node)
        if shape_of(addend) != shape_of(product):
            addend = new.call(aten.view.default, addend, list(shape_of(product)))
        if product.target is lowpeak.rms_norm_backward.default:
            total = new.call(product.target, *product.args[:4], addend)
        else:
            total = new.call(getattr(lowpeak, name).default, addend, *product.args)
        position[total] = position[node]
        if shape_of(total) != shape_of(node):
            total = new.call(aten.view.default, total, list(shape_of(node)))
        return new.replace_with(total)


def _product(operand: fx.Node) -> fx.Node:
    """What the operand is a view of."""
    return operand.args[0] if operand.target is aten.view.default else operand
