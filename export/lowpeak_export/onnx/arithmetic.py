"""Elementwise arithmetic as ONNX nodes. Operands of mixed types are cast to the type that torch computes
in.
"""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_compiler.ir.nodes import call_args, dtype_of, operand, operands
from lowpeak_export.onnx.emits import Mapping, emits
from lowpeak_export.onnx.nodes import DTYPES, Nodes

aten = torch.ops.aten
OF_BOOLEANS = {"Add": "Or", "Mul": "And", "Max": "Or", "Min": "And"}
"""Arithmetic that ONNX has not of booleans."""


def _unary(operator: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        return nodes.call(operator, nodes.cast(operand(node), dtype_of(node)))

    return build


def _binary(operator: str) -> Mapping:
    """`operator(self, alpha * other)` in the type of the result."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        arguments, dtype = operands(node), dtype_of(node)
        left, right = (operand_of(nodes, arguments[name], dtype) for name in _names(arguments))
        alpha = arguments.get("alpha", 1)
        if alpha != 1:
            right = nodes.call("Mul", right, nodes.scalar(alpha, dtype))
        kind = OF_BOOLEANS.get(operator, operator) if dtype == torch.bool else operator
        return nodes.call(kind, left, right)

    return build


def _names(arguments: dict[str, Any]) -> list[str]:
    """The two operands among the arguments: self and other, self and exponent."""
    return list(arguments)[:2]


def operand_of(nodes: Nodes, value: Any, dtype: torch.dtype) -> ir.Value:
    return nodes.cast(value, dtype) if isinstance(value, fx.Node) else nodes.scalar(value, dtype)


@emits(aten.rsub.Scalar)
def _reversed_sub(nodes: Nodes, node: fx.Node) -> ir.Value:
    arguments, dtype = operands(node), dtype_of(node)
    source = nodes.cast(arguments["self"], dtype)
    if arguments["alpha"] != 1:
        source = nodes.call("Mul", source, nodes.scalar(arguments["alpha"], dtype))
    return nodes.call("Sub", nodes.scalar(arguments["other"], dtype), source)


@emits(aten.relu.default)
def _relu(nodes: Nodes, node: fx.Node) -> ir.Value:
    """The runtime's Relu is of floats only."""
    source, dtype = nodes.value_of(operand(node)), dtype_of(node)
    if dtype.is_floating_point:
        return nodes.call("Relu", source)
    return nodes.call("Max", source, nodes.scalar(0, dtype))


def _root(exponent: float) -> Mapping:
    """A power: the runtime's Sqrt of infinity is not a number."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        dtype = dtype_of(node)
        return nodes.call("Pow", nodes.cast(operand(node), dtype), nodes.scalar(exponent, dtype))

    return build


@emits(aten.clamp.default)
def _clamp(nodes: Nodes, node: fx.Node) -> ir.Value:
    arguments, dtype = operands(node), dtype_of(node)
    # Without a bound the runtime takes the largest finite number for one.
    ends = {"min": -math.inf, "max": math.inf} if dtype.is_floating_point else {}
    limits = [ends.get(name) if arguments[name] is None else arguments[name] for name in ("min", "max")]
    bounds = [None if limit is None else nodes.scalar(limit, dtype) for limit in limits]
    return nodes.call("Clip", nodes.cast(arguments["self"], dtype), *bounds)


@emits(aten.threshold_backward.default)
def _threshold_backward(nodes: Nodes, node: fx.Node) -> ir.Value:
    """The gradient where the source was not at or below the threshold: NaN passes it on."""
    grad, source, threshold = call_args(node)
    dtype = dtype_of(node)
    below = nodes.call("LessOrEqual", nodes.value_of(source), nodes.scalar(threshold, dtype))
    return nodes.call("Where", below, nodes.scalar(0, dtype), nodes.value_of(grad))


@emits(aten._to_copy.default)
def _to_copy(nodes: Nodes, node: fx.Node) -> ir.Value:
    return nodes.call("Cast", nodes.value_of(operand(node)), to=DTYPES[dtype_of(node)].value)


UNARY = {
    aten.neg.default: "Neg", aten.exp.default: "Exp", aten.log.default: "Log",
    aten.reciprocal.default: "Reciprocal", aten.abs.default: "Abs", aten.sin.default: "Sin",
    aten.cos.default: "Cos", aten.tanh.default: "Tanh", aten.erf.default: "Erf",
    aten.sigmoid.default: "Sigmoid", aten.floor.default: "Floor", aten.ceil.default: "Ceil",
    aten.round.default: "Round", aten.sign.default: "Sign",
}  # fmt: skip
BINARY = {
    aten.add.Tensor: "Add", aten.add.Scalar: "Add", aten.sub.Tensor: "Sub", aten.sub.Scalar: "Sub",
    aten.mul.Tensor: "Mul", aten.mul.Scalar: "Mul", aten.div.Tensor: "Div", aten.div.Scalar: "Div",
    aten.maximum.default: "Max", aten.minimum.default: "Min", aten.pow.Tensor_Scalar: "Pow",
    aten.pow.Tensor_Tensor: "Pow",
}  # fmt: skip
for _operator, _name in UNARY.items():
    emits(_operator)(_unary(_name))
for _operator, _name in BINARY.items():
    emits(_operator)(_binary(_name))
emits(aten.sqrt.default)(_root(0.5))
emits(aten.rsqrt.default)(_root(-0.5))
