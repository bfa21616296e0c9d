"""What the planner must know of operators, keyed by operator: which are views, which may write in place,
what they cost.
"""

from __future__ import annotations

import math

import torch
from torch import fx

import compiler.ops  # noqa: F401  registers the lowpeak:: operators
from compiler.graph import tensors_of
from compiler.passes.rewrite import operands, shape_of

aten = torch.ops.aten

IN_PLACE = frozenset(
    {
        aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.maximum.default,
        aten.minimum.default, aten.add.Scalar, aten.sub.Scalar, aten.mul.Scalar, aten.div.Scalar,
        aten.rsub.Scalar, aten.pow.Tensor_Scalar, aten.neg.default, aten.exp.default, aten.log.default,
        aten.sigmoid.default, aten.tanh.default, aten.rsqrt.default, aten.sqrt.default,
        aten.reciprocal.default, aten.relu.default, aten.abs.default, aten.sin.default, aten.cos.default,
        aten.erf.default, aten.clamp.default, aten._softmax.default,
    }
)  # fmt: skip
"""The output may be the memory of an operand with its shape and type: element i depends on element i only, or
the kernel reads a row before it writes it.
"""


VIEWS = frozenset({aten.view.default, aten.slice.Tensor, aten.select.int})
"""The result may be another name for bytes of operand 0, if these are neighbours there."""


def view_offset(node: fx.Node) -> int | None:
    """Bytes from the start of operand 0 at which the result lies, if the node is a view of it; else None."""
    if node.target is aten.view.default:
        return 0
    if node.target is aten.slice.Tensor:
        given = operands(node)
        source = given["self"].meta["val"]
        axis = given["dim"] % source.dim()
        if given["step"] == 1 and math.prod(source.shape[:axis]) == 1:
            start = min(given["start"] or 0, source.shape[axis])
            return start * math.prod(source.shape[axis + 1 :]) * source.element_size()
    if node.target is aten.select.int:
        given = operands(node)
        source = given["self"].meta["val"]
        axis = given["dim"] % source.dim()
        if math.prod(source.shape[:axis]) == 1:
            index = given["index"] % source.shape[axis]
            return index * math.prod(source.shape[axis + 1 :]) * source.element_size()
    return None


def in_place_operands(node: fx.Node) -> list[fx.Node]:
    """Operands whose memory the result of an in-place operator may take over."""
    result = node.meta["val"]
    return [
        operand
        for operand in node.all_input_nodes
        if shape_of(operand) == tuple(result.shape) and operand.meta["val"].dtype == result.dtype
    ]


def flops(node: fx.Node) -> int:
    """Floating-point operations of matrix products, 2 a multiply-add; 0 for what is bound by memory."""
    target = node.target
    if target in (aten.mm.default, aten.bmm.default):
        return 2 * math.prod(shape_of(node)) * shape_of(node.args[0])[-1]
    if target in (aten.linear.default,):
        return 2 * math.prod(shape_of(node)) * shape_of(node.args[1])[-1]
    if target is torch.ops.lowpeak.matmul.default:
        return 2 * math.prod(shape_of(node)) * shape_of(node.args[0])[-2 if node.args[2] else -1]
    return 0


def moved_bytes(node: fx.Node) -> int:
    """Bytes read and written."""
    tensors = [t for operand in node.all_input_nodes for t in tensors_of(operand)]
    return sum(t.numel() * t.element_size() for t in (*tensors, *tensors_of(node)))
