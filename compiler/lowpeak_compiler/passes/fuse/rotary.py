"""Rotary position embedding becomes one operator, which is its own gradient with the sine turned around.

x * unsqueeze(cos) + cat(-high half of x, low half of x) * unsqueeze(sin)  ->  lowpeak::rotary(x, cos, sin)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import depends_on_adapter, operands, shape_of
from lowpeak_compiler.passes.properties import FORWARD, ROTARY
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten
HEADS_AXIS = 1


@dataclass(frozen=True)
class Rotary(Pass):
    """Makes a rotary position embedding one operator.

    Positions that differ between the sequences of a batch stay as they are.
    """

    requires = frozenset({FORWARD})
    ensures = frozenset({ROTARY})

    def run(self, graph: TrainGraph) -> int:
        sums = [node for node in graph.operations() if node.target is aten.add.Tensor]
        return sum(_problem(graph, node) is None and _replace(graph, node) for node in sums)

    def misses(self, graph: TrainGraph) -> list[Miss]:
        sums = [node for node in graph.operations() if node.target is aten.add.Tensor]
        near = [(node, _problem(graph, node)) for node in sums if _has_turned(node)]
        return [Miss.of(node, reason) for node, reason in near if reason]


def _has_turned(total: fx.Node) -> bool:
    """Whether a term of the sum is a product with a tensor that is turned by halves."""
    return any(
        _turned(factor) is not None
        for product in total.args
        if _is(product, aten.mul.Tensor)
        for factor in product.args
    )


def _problem(graph: TrainGraph, node: fx.Node) -> str | None:
    """Why the sum is not x * cos + (x turned by halves) * sin."""
    if len(shape_of(node)) != 4 or node.kwargs:
        return f"the sum is {list(shape_of(node))}, not [batch, heads, tokens, dim]"
    if not all(_is(term, aten.mul.Tensor) for term in node.args):
        return "a term of the sum is no product with a table"
    straight, turned = node.args
    x = straight.args[0]
    if _turned(turned.args[0]) is not x:
        return "its second term is not the first factor of its first term, turned by halves"
    for name, product in (("cosine", straight), ("sine", turned)):
        table = _table(product.args[1], shape_of(x))
        if table is None:
            wanted = [1, *shape_of(x)[2:]]
            return f"the {name}'s table is {_described(product.args[1])}, not {wanted} and an axis for heads"
        if depends_on_adapter(graph, table):
            return f"the {name}'s table is trained"
    return None


def _described(factor: Any) -> str:
    return f"{list(shape_of(factor))}" if isinstance(factor, fx.Node) else str(factor)


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    straight, turned = node.args
    x = straight.args[0]
    tables = [_table(product.args[1], shape_of(x)) for product in (straight, turned)]
    new = Rewriter(graph, node)
    return new.replace_with(new.call(torch.ops.lowpeak.rotary.default, x, *tables, False))


def _is(value: Any, target: object) -> bool:
    return isinstance(value, fx.Node) and value.target is target


def _turned(node: Any) -> fx.Node | None:
    """x, if the node is cat(-x[..., half:], x[..., :half])."""
    if not _is(node, aten.cat.default):
        return None
    arguments = operands(node)
    last = len(shape_of(node)) - 1
    if len(arguments["tensors"]) != 2 or arguments["dim"] % (last + 1) != last:
        return None
    negative, low = arguments["tensors"]
    if not _is(negative, aten.neg.default):
        return None
    high = negative.args[0]
    width = shape_of(node)[-1]
    half = width // 2
    for part, start, end in ((low, 0, half), (high, half, width)):
        if not _is(part, aten.slice.Tensor):
            return None
        cut = operands(part)
        place = (cut["dim"] % (last + 1), cut["start"] or 0, min(cut["end"] or width, width), cut["step"])
        if place != (last, start, end, 1) or shape_of(cut["self"]) != shape_of(node):
            return None
    x: fx.Node = low.args[0]
    return x if high.args[0] is x else None


def _table(node: Any, shape: tuple[int, ...]) -> fx.Node | None:
    """The table [1, tokens, dim] that the node gives an axis of heads."""
    if not _is(node, aten.unsqueeze.default) or node.args[1] != HEADS_AXIS:
        return None
    table: fx.Node = node.args[0]
    return table if shape_of(table) == (1, *shape[2:]) else None
