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
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten
HEADS_AXIS = 1


@dataclass(frozen=True)
class Rotary:
    """Runs on the forward graph. Positions that differ between the sequences of a batch stay as they are."""

    def run(self, graph: TrainGraph) -> int:
        return sum(_replace(graph, node) for node in graph.operations() if node.target is aten.add.Tensor)


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    if len(shape_of(node)) != 4 or node.kwargs or not all(_is(x, aten.mul.Tensor) for x in node.args):
        return False
    straight, turned = node.args
    x = straight.args[0]
    if _turned(turned.args[0]) is not x:
        return False
    tables = [_table(product.args[1], shape_of(x)) for product in (straight, turned)]
    if any(table is None or depends_on_adapter(graph, table) for table in tables):
        return False
    new = Rewriter(graph, node)
    return new.replace_with(new.call(torch.ops.lowpeak.rotary.default, x, *tables, False))


def _is(value: Any, target: object) -> bool:
    return isinstance(value, fx.Node) and value.target is target


def _turned(node: Any) -> fx.Node | None:
    """x, if the node is cat(-x[..., half:], x[..., :half])."""
    if not _is(node, aten.cat.default):
        return None
    given = operands(node)
    last = len(shape_of(node)) - 1
    if len(given["tensors"]) != 2 or given["dim"] % (last + 1) != last:
        return None
    negative, low = given["tensors"]
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
