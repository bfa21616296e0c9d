"""What the planner must know of operators, keyed by operator: which are views, which may write in place,
what they cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import fx

import lowpeak_artifact.ops  # noqa: F401  registers the lowpeak:: operators
from lowpeak_compiler.ir.graph import tensors_of
from lowpeak_compiler.ir.nodes import operands, shape_of

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak

IN_PLACE = frozenset(
    {
        aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.maximum.default,
        aten.minimum.default, aten.add.Scalar, aten.sub.Scalar, aten.mul.Scalar, aten.div.Scalar,
        aten.rsub.Scalar, aten.pow.Tensor_Scalar, aten.neg.default, aten.exp.default, aten.log.default,
        aten.sigmoid.default, aten.tanh.default, aten.rsqrt.default, aten.sqrt.default,
        aten.reciprocal.default, aten.relu.default, aten.abs.default, aten.sin.default, aten.cos.default,
        aten.erf.default, aten.clamp.default, aten._softmax.default, lowpeak.matmul_add.default,
        lowpeak.quantized_linear_input_gradient_add.default, lowpeak.causal_attention_backward_add.default,
        lowpeak.rms_norm.default, lowpeak.rms_norm_backward.default, lowpeak.rotary.default,
        lowpeak.swiglu.default, lowpeak.swiglu_backward.default, lowpeak.write_rows.default,
        lowpeak.loaded.default,
    }
)  # fmt: skip
"""The output may be the memory of an operand with its shape and type: element i depends on element i only, or
the kernel reads a row before it writes it. Of several outputs each may be that of another operand.
"""

ADDS_TO: dict[object, dict[int, int]] = {
    lowpeak.matmul_add.default: {0: 0},
    lowpeak.quantized_linear_input_gradient_add.default: {0: 0},
    lowpeak.causal_attention_backward_add.default: {1: 0, 2: 1},
    lowpeak.write_rows.default: {0: 0},
}
"""Of `IN_PLACE`, those whose outputs may only be the memory of certain operands: output -> argument."""

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


def in_place_operands(node: fx.Node) -> list[tuple[int, fx.Node]]:
    """(output, operand) for every operand whose memory an output of an in-place operator may take over."""
    certain = ADDS_TO.get(node.target)
    if certain is not None:
        pairs = [(output, node.args[argument]) for output, argument in certain.items()]
        return [(output, operand) for output, operand in pairs if operand is not None]
    return [
        (output, operand)
        for output, result in enumerate(tensors_of(node))
        for operand in node.all_input_nodes
        if any(t.shape == result.shape and t.dtype == result.dtype for t in tensors_of(operand)[:1])
    ]


def flops(node: fx.Node) -> int:
    """Floating-point operations of matrix products, 2 a multiply-add; 0 for what is bound by memory."""
    count = FLOPS.get(node.target)
    return count(node) if count else 0


def _product(operand: int, axis: int = -1) -> Callable[[fx.Node], int]:
    """Each element of the result is a sum along an axis of an operand."""
    return lambda node: 2 * math.prod(shape_of(node)) * shape_of(node.args[operand])[axis]


def _matmul(operand: int) -> Callable[[fx.Node], int]:
    def count(node: fx.Node) -> int:
        axis = -2 if node.args[operand + 2] else -1
        return 2 * math.prod(shape_of(node)) * shape_of(node.args[operand])[axis]

    return count


def _loss(node: fx.Node) -> int:
    """The logits and their way back."""
    rows, width = shape_of(node.args[0])
    return 2 * 2 * rows * width * shape_of(node.args[1])[0]


def _attention(products: int) -> Callable[[fx.Node], int]:
    """Products over the keys up to each query, for each head."""

    def count(node: fx.Node) -> int:
        given = operands(node)
        tokens = shape_of(given["query"])[3 - given["heads_axis"]]
        return products * math.prod(shape_of(given["query"])) * (tokens + 2 * given["start"])

    return count


FLOPS: dict[object, Callable[[fx.Node], int]] = {
    aten.mm.default: _product(0),
    aten.bmm.default: _product(0),
    aten.linear.default: _product(1),
    lowpeak.matmul.default: _matmul(0),
    lowpeak.matmul_add.default: _matmul(1),
    lowpeak.quantized_linear.default: _product(0),
    lowpeak.quantized_linear_input_gradient.default: _product(0),
    lowpeak.quantized_linear_input_gradient_add.default: _product(1),
    lowpeak.quantized_linear_cross_entropy.default: _loss,
    lowpeak.causal_attention.default: _attention(2),
    lowpeak.causal_attention_backward.default: _attention(5),
    lowpeak.causal_attention_backward_add.default: _attention(5),
}


def moved_bytes(node: fx.Node) -> int:
    """Bytes read and written."""
    if node.target is lowpeak.write_rows.default:
        return 2 * sum(t.numel() * t.element_size() for t in tensors_of(node.args[1]))
    tensors = [t for operand in node.all_input_nodes for t in tensors_of(operand)]
    return sum(t.numel() * t.element_size() for t in (*tensors, *tensors_of(node)))
