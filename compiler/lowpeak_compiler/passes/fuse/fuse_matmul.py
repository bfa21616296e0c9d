"""Matrix products that take transposed operands and a factor, for targets with a kernel for that.

    mm(permute(a), b), bmm(a, permute(b)) ...  ->  lowpeak::matmul(a, b, transpose_a, transpose_b, 1)
    linear(x, w)                               ->  lowpeak::matmul(x, w, False, True, 1)
    mul(matmul(a, b, 1), c)                    ->  matmul(a, b, c)     if nothing else reads the product
    matmul(mul(a, c), b, 1)                    ->  matmul(a, b, c)     if only such products read the multiple
    permute(matmul(a, b))                      ->  matmul(b', a')      if nothing else reads the product

So no transposed copy exists, unless something else reads it too. Products of other types than float32 stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import dtype_of, shape_of
from lowpeak_compiler.passes.properties import FUSED_MATMUL, LOWERED, NORMAL, PLAIN_PRODUCTS
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten
matmul = torch.ops.lowpeak.matmul.default
PRODUCTS = (aten.mm.default, aten.bmm.default)


@dataclass(frozen=True)
class FuseMatmul(Pass):
    """Makes products take transposed operands and a factor."""

    requires = frozenset({NORMAL, PLAIN_PRODUCTS})
    ensures = frozenset({FUSED_MATMUL})
    ends = frozenset({PLAIN_PRODUCTS, LOWERED})

    def run(self, graph: TrainGraph) -> int:
        count = 0
        for node in graph.operations():
            count += _to_matmul(graph, node)
        # Permutes that nothing reads any more would count as readers.
        graph.graph.eliminate_dead_code()
        for node in graph.operations():
            count += node.target is aten.mul.Scalar and _take_factor(graph, node)
        for node in graph.operations():
            count += node.target is aten.mul.Scalar and _pass_factor_on(graph, node)
        for node in graph.operations():
            count += node.target is aten.permute.default and _swap_result(graph, node)
        return count

    def misses(self, graph: TrainGraph) -> list[Miss]:
        reasons = ((node, _problem(node)) for node in graph.operations())
        return [Miss.of(node, reason) for node, reason in reasons if reason]


def _problem(node: fx.Node) -> str | None:
    """Why a product, or a multiple or a transpose of one, is an operation of its own."""
    if node.target in (*PRODUCTS, aten.linear.default):
        biased = node.target is aten.linear.default and len(node.args) > 2
        return (
            "it has a bias" if biased else f"it is {str(dtype_of(node)).removeprefix('torch.')}, not float32"
        )
    if node.target is aten.mul.Scalar:
        source = node.args[0]
        product = source.args[0] if source.target is aten.view.default else source
        if product.target is matmul:
            if product.args[4] != 1:
                return f"{product.name} has a factor already, {product.args[4]}"
            return f"something else reads {product.name} too"
    if node.target is aten.permute.default and node.args[0].target is matmul and _swaps(node):
        return f"something else reads {node.args[0].name} too"
    return None


def _swaps(permute: fx.Node) -> bool:
    """Whether it swaps the last two axes and nothing else."""
    rank = len(shape_of(permute))
    return [axis % rank for axis in permute.args[1]] == [*range(rank - 2), rank - 1, rank - 2]


def _to_matmul(graph: TrainGraph, node: fx.Node) -> bool:
    if node.target not in (*PRODUCTS, aten.linear.default) or dtype_of(node) != torch.float32:
        return False
    new = Rewriter(graph, node)
    if node.target in PRODUCTS:
        (a, transpose_a), (b, transpose_b) = map(_source, node.args)
        return new.replace_with(new.call(matmul, a, b, transpose_a, transpose_b, 1.0))
    if len(node.args) == 2:
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


def _pass_factor_on(graph: TrainGraph, node: fx.Node) -> bool:
    """The products that read a multiple, directly or through views, read what it is a multiple of."""
    source, factor = node.args
    products: list[tuple[fx.Node, fx.Node]] = []
    for user in node.users:
        for reader in user.users if user.target is aten.view.default else [user]:
            products.append((reader, user if user.target is aten.view.default else node))
    for product, operand in products:
        if product.target is not matmul or product.args[4] != 1:
            return False
        if operand is product.args[0] and operand is product.args[1]:
            return False
    if not products or len({product for product, _ in products}) < len(products):
        return False
    for product, _ in products:
        product.args = (*product.args[:4], float(factor))
    node.replace_all_uses_with(source)
    graph.graph.erase_node(node)
    return True


def _swap_result(graph: TrainGraph, node: fx.Node) -> bool:
    """op(a) op(b), transposed, is op(b)' op(a)'."""
    product = node.args[0]
    if product.target is not matmul or len(product.users) > 1 or not _swaps(node):
        return False
    a, b, transpose_a, transpose_b, alpha = product.args
    new = Rewriter(graph, node)
    return new.replace_with(new.call(matmul, b, a, not transpose_b, not transpose_a, alpha))
