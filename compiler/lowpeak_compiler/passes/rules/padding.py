"""The gradients of two slices of one tensor come back as padded tensors that are added.

slice_scatter(0, a, axis, 0, k) + slice_scatter(0, b, axis, k, n)  ->  cat([a, b], axis)
"""

from __future__ import annotations

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import dtype_of, operands, shape_of
from lowpeak_compiler.passes.rewrite import Rewriter, Rule

aten = torch.ops.aten


def join_padded(graph: TrainGraph, node: fx.Node) -> bool:
    if node.kwargs:
        return False
    parts = [part for part in map(_padded, node.args) if part is not None]
    if len(parts) != 2 or any(shape_of(padded) != shape_of(node) for padded in node.all_input_nodes):
        return False
    (axis, start, end, low), (other_axis, other_start, other_end, high) = sorted(
        parts, key=lambda part: part[1]
    )
    size = shape_of(node)[axis]
    if axis != other_axis or (start, end, other_end) != (0, other_start, size):
        return False
    new = Rewriter(graph, node)
    return new.replace_with(new.call(aten.cat.default, [low, high], axis))


def _padded(node: object) -> tuple[int, int, int, fx.Node] | None:
    """(axis, start, end, x) of slice_scatter(zeros, x, axis, start, end) with step 1."""
    if not isinstance(node, fx.Node) or node.target is not aten.slice_scatter.default:
        return None
    arguments = operands(node)
    zeros = arguments["self"]
    if zeros.target is not aten.full.default or zeros.args[1] != 0 or arguments["step"] != 1:
        return None
    if dtype_of(arguments["src"]) != dtype_of(node):
        return None
    axis = arguments["dim"] % len(shape_of(node))
    size = shape_of(node)[axis]
    start, end, _ = slice(arguments["start"], arguments["end"]).indices(size)
    return axis, start, end, arguments["src"]


RULES: dict[object, tuple[Rule, ...]] = {aten.add.Tensor: (join_padded,)}
