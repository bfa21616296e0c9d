"""The gradients of two slices of one tensor come back as padded tensors that are added.

    slice_scatter(0, a, axis, 0, k) + slice_scatter(0, b, axis, k, n)  ->  cat([a, b], axis)
"""

from __future__ import annotations

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter, Rule, operands, shape_of

aten = torch.ops.aten


def join_padded(graph: TrainGraph, node: fx.Node) -> bool:
    parts = [_padded(argument) for argument in node.args]
    if node.kwargs or len(parts) != 2 or None in parts:
        return False
    (axis, start, end, low), (other_axis, other_start, other_end, high) = sorted(  # type: ignore[misc]
        parts, key=lambda part: part[1]  # type: ignore[index]
    )
    size = shape_of(node)[axis]
    if axis != other_axis or (start, end, other_end) != (0, other_start, size):
        return False
    new = Rewriter(graph, node)
    return new.replace_with(new.call(aten.cat.default, [low, high], axis))


def _padded(value: object) -> tuple[int, int, int, fx.Node] | None:
    """(axis, start, end, x) of slice_scatter(zeros, x, axis, start, end) with step 1."""
    if not isinstance(value, fx.Node) or value.target is not aten.slice_scatter.default:
        return None
    given = operands(value)
    zeros = given["input"] if "input" in given else given["self"]
    if zeros.target is not aten.full.default or zeros.args[1] != 0 or given["step"] != 1:
        return None
    axis = given["dim"] % len(shape_of(value))
    size = shape_of(value)[axis]
    start = min(given["start"] or 0, size)
    end = size if given["end"] is None else min(given["end"], size)
    return axis, start, end, given["src"]


RULES: dict[object, tuple[Rule, ...]] = {aten.add.Tensor: (join_padded,)}
