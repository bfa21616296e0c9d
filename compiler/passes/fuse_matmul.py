"""Matrix products that take transposed operands and a factor, for targets with a kernel for that.

    mm(permute(a), b), bmm(a, permute(b)) ...  ->  lowpeak::matmul(a, b, transpose_a, transpose_b, 1)
    linear(x, w)                               ->  lowpeak::matmul(x, w, False, True, 1)
    mul(matmul(a, b, 1), c)                    ->  matmul(a, b, c)     if nothing else reads the product

So no transposed copy exists, unless something else reads it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter, shape_of

aten = torch.ops.aten
matmul = torch.ops.lowpeak.matmul.default
PRODUCTS = (aten.mm.default, aten.bmm.default)


@dataclass(frozen=True)
class FuseMatmul:
    """Runs on the lowered graph."""

    def run(self, graph: TrainGraph) -> int:
        count = 0
        for node in graph.operations():
            count += _to_matmul(graph, node)
        for node in graph.operations():
            count += node.target is aten.mul.Scalar and _take_factor(graph, node)
        return count


def _to_matmul(graph: TrainGraph, node: fx.Node) -> bool:
    new = Rewriter(graph, node)
    if node.target in PRODUCTS:
        (a, transpose_a), (b, transpose_b) = map(_source, node.args)
        return new.replace_with(new.call(matmul, a, b, transpose_a, transpose_b, 1.0))
    if node.target is aten.linear.default and len(node.args) == 2:
        x, weight = node.args
        rows = new.call(aten.view.default, x, [-1, shape_of(x)[-1]]) if len(shape_of(x)) != 2 else x
        product = new.call(matmul, rows, weight, False, True, 1.0)
        if rows is not x:
            product = new.call(aten.view.default, product, list(shape_of(node)))
        return new.replace_with(product)
    return False


def _source(operand: fx.Node) -> tuple[fx.Node, bool]:
    """What a product can read instead of the operand, and whether transposed."""
    if operand.target is aten.permute.default:
        rank = len(shape_of(operand))
        order = [axis % rank for axis in operand.args[1]]
        swapped = [*range(rank - 2), rank - 1, rank - 2]
        if order == swapped and all(user.target in (*PRODUCTS, matmul) for user in operand.users):
            return operand.args[0], True
    return operand, False


def _take_factor(graph: TrainGraph, node: fx.Node) -> bool:
    source, factor = node.args
    product = source.args[0] if source.target is aten.view.default else source
    if (
        product.target is not matmul
        or product.args[4] != 1
        or any(len(n.users) > 1 for n in {source, product})
    ):
        return False
    product.args = (*product.args[:4], float(factor))
    return Rewriter(graph, node).replace_with(source)
