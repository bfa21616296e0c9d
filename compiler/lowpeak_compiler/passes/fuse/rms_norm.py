"""RMSNorm with a frozen weight becomes one operator with its own gradient, which needs x and a root a row.

x * rsqrt(mean(x^2) + epsilon) * weight  ->  lowpeak::rms_norm(x, weight, epsilon)[0]
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import depends_on_adapter, dtype_of, operands, shape_of
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten


@dataclass(frozen=True)
class RmsNorm:
    """Runs on the forward graph. A norm with a trainable weight stays."""

    def run(self, graph: TrainGraph) -> int:
        return sum(_replace(graph, node) for node in graph.operations() if node.target is aten.mul.Tensor)


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    for normed, weight in (node.args, node.args[::-1]):
        if not isinstance(normed, fx.Node) or not isinstance(weight, fx.Node):
            continue
        if normed.target is not aten.mul.Tensor or shape_of(weight) != shape_of(node)[-1:]:
            continue
        for x, root in (normed.args, normed.args[::-1]):
            epsilon = _epsilon_of(x, root)
            if epsilon is None or dtype_of(x) != torch.float32 or dtype_of(weight) != torch.float32:
                continue
            if depends_on_adapter(graph, weight):
                return False
            new = Rewriter(graph, node)
            pair = new.call(torch.ops.lowpeak.rms_norm.default, x, weight, epsilon)
            return new.replace_with(new.call(getitem, pair, 0))
    return False


def _epsilon_of(x: fx.Node, root: fx.Node) -> float | None:
    """epsilon, if `root` is rsqrt(mean(x^2) + epsilon) over the last axis."""
    if not isinstance(root, fx.Node) or root.target is not aten.rsqrt.default:
        return None
    total = root.args[0]
    if total.target not in (aten.add.Tensor, aten.add.Scalar) or not isinstance(total.args[1], float | int):
        return None
    mean, epsilon = total.args
    if mean.target is not aten.mean.dim:
        return None
    given = operands(mean)
    square = given["self"]
    last = len(shape_of(square)) - 1
    if [axis % (last + 1) for axis in given["dim"]] != [last] or not given["keepdim"]:
        return None
    squared = square.target is aten.pow.Tensor_Scalar and square.args == (x, 2)
    multiplied = square.target is aten.mul.Tensor and square.args == (x, x)
    return float(epsilon) if squared or multiplied else None
