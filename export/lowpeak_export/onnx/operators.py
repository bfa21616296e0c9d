"""Which ONNX nodes an operation of the graph is: a table keyed by operator, shapes static.

Operations stand for what they read and write, so a mapping makes no temporary that is larger than its
result. Operands of mixed types are cast to the type that torch computes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import getitem
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.ir.graph import operator_name, place_of
from lowpeak_compiler.ir.nodes import dtype_of, operands, shape_of
from lowpeak_export.onnx import movement
from lowpeak_export.onnx.nodes import DTYPES, Nodes

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak

Mapping = Callable[[Nodes, fx.Node], ir.Value]
OF_BOOLEANS = {"Add": "Or", "Mul": "And", "Max": "Or", "Min": "And"}
"""Arithmetic that ONNX has not of booleans."""


def _unary(operator: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        return nodes.call(operator, nodes.cast(node.args[0], dtype_of(node)))

    return build


def _binary(operator: str) -> Mapping:
    """`operator(self, alpha * other)` in the type of the result."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        given, dtype = operands(node), dtype_of(node)
        left, right = (_operand(nodes, given[name], dtype) for name in _names(given))
        alpha = given.get("alpha", 1)
        if alpha != 1:
            right = nodes.call("Mul", right, nodes.scalar(alpha, dtype))
        kind = OF_BOOLEANS.get(operator, operator) if dtype == torch.bool else operator
        return nodes.call(kind, left, right)

    return build


def _names(given: dict[str, Any]) -> list[str]:
    """The two operands among the arguments: self and other, self and exponent."""
    return list(given)[:2]


def _operand(nodes: Nodes, value: Any, dtype: torch.dtype) -> ir.Value:
    return nodes.cast(value, dtype) if isinstance(value, fx.Node) else nodes.scalar(value, dtype)


def _compare(operator: str, *, negated: bool = False) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        left, right = node.args
        values = (operand.meta["val"] if isinstance(operand, fx.Node) else operand for operand in node.args)
        dtype = torch.result_type(*values)
        if dtype == torch.bool and operator != "Equal":
            # ONNX orders no booleans.
            dtype = torch.int32
        found = nodes.call(operator, _operand(nodes, left, dtype), _operand(nodes, right, dtype))
        return nodes.call("Not", found) if negated else found

    return build


def _logical(operator: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        return nodes.call(operator, *(nodes.cast(operand, torch.bool) for operand in node.args))

    return build


def _bitwise(for_bool: str, for_integers: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        dtype = dtype_of(node)
        operator = for_bool if dtype == torch.bool else for_integers
        return nodes.call(operator, *(_operand(nodes, operand, dtype) for operand in node.args))

    return build


def _right_shift(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, places = node.args
    if dtype_of(node) != torch.uint8:
        raise UnsupportedOperator(
            f"a right shift of {str(dtype_of(node))[6:]} in {place_of(node)!r} has no mapping to ONNX, which "
            "shifts unsigned integers only; divide by a power of two",
            operator=operator_name(node),
            place=place_of(node),
        )
    places = nodes.scalar(places, dtype_of(node))
    return nodes.call("BitShift", nodes.value_of(source), places, direction="RIGHT")


def _reversed_sub(nodes: Nodes, node: fx.Node) -> ir.Value:
    given, dtype = operands(node), dtype_of(node)
    source = nodes.cast(given["self"], dtype)
    if given["alpha"] != 1:
        source = nodes.call("Mul", source, nodes.scalar(given["alpha"], dtype))
    return nodes.call("Sub", nodes.scalar(given["other"], dtype), source)


def _relu(nodes: Nodes, node: fx.Node) -> ir.Value:
    """The runtime's Relu is of floats only."""
    source, dtype = nodes.value_of(node.args[0]), dtype_of(node)
    if dtype.is_floating_point:
        return nodes.call("Relu", source)
    return nodes.call("Max", source, nodes.scalar(0, dtype))


def _root(exponent: float) -> Mapping:
    """A power: the runtime's Sqrt of infinity is not a number."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        dtype = dtype_of(node)
        return nodes.call("Pow", nodes.cast(node.args[0], dtype), nodes.scalar(exponent, dtype))

    return build


def _clamp(nodes: Nodes, node: fx.Node) -> ir.Value:
    given, dtype = operands(node), dtype_of(node)
    # Without a bound the runtime takes the largest finite number for one.
    ends = {"min": -math.inf, "max": math.inf} if dtype.is_floating_point else {}
    limits = [ends.get(name) if given[name] is None else given[name] for name in ("min", "max")]
    bounds = [None if limit is None else nodes.scalar(limit, dtype) for limit in limits]
    return nodes.call("Clip", nodes.cast(given["self"], dtype), *bounds)


def _where(nodes: Nodes, node: fx.Node) -> ir.Value:
    condition, left, right = node.args
    dtype = dtype_of(node)
    chosen = [nodes.cast(operand, dtype) for operand in (left, right)]
    return nodes.call("Where", nodes.cast(condition, torch.bool), *chosen)


def _threshold_backward(nodes: Nodes, node: fx.Node) -> ir.Value:
    """The gradient where the source was not at or below the threshold: NaN passes it on."""
    grad, source, threshold = node.args
    dtype = dtype_of(node)
    below = nodes.call("LessOrEqual", nodes.value_of(source), nodes.scalar(threshold, dtype))
    return nodes.call("Where", below, nodes.scalar(0, dtype), nodes.value_of(grad))


def _softmax(operator: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        return nodes.call(operator, nodes.value_of(node.args[0]), axis=node.args[1])

    return build


def _reduce(operator: str) -> Mapping:
    """Over `dim`, all axes if it has none."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        given = operands(node)
        axes = given.get("dim")
        axes = [axes] if isinstance(axes, int) else axes
        source = nodes.cast(given["self"], dtype_of(node))
        keep = int(bool(given.get("keepdim")))
        return nodes.call(operator, source, *([nodes.ints(axes)] if axes else []), keepdims=keep)

    return build


def _to_copy(nodes: Nodes, node: fx.Node) -> ir.Value:
    return nodes.call("Cast", nodes.value_of(node.args[0]), to=DTYPES[dtype_of(node)].value)


def _fill(value: float | None) -> Mapping:
    """A tensor of one value: the operator's own, or the node's."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        given = operands(node)
        filled = given.get("fill_value", given.get("s")) if value is None else value
        tensor = ir.Tensor(torch.tensor([filled], dtype=dtype_of(node)).numpy())
        return nodes.call("ConstantOfShape", nodes.ints(shape_of(node)), value=tensor)

    return build


def _arange(nodes: Nodes, node: fx.Node) -> ir.Value:
    given, dtype = operands(node), dtype_of(node)
    start, end, step = given.get("start", 0), given["end"], given.get("step", 1)
    if not dtype.is_floating_point:
        return nodes.call("Range", *(nodes.scalar(bound, dtype) for bound in (start, end, step)))
    # The runtime adds up the steps, and their rounding errors.
    count = shape_of(node)[0]
    numbers = nodes.call("Range", *(nodes.scalar(bound, dtype) for bound in (0, count, 1)))
    multiples = nodes.call("Mul", numbers, nodes.scalar(step, dtype))
    return nodes.call("Add", multiples, nodes.scalar(start, dtype))


def _linear(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, weight, *bias = node.args
    rows = nodes.value_of(source)
    if len(shape_of(source)) != 2:
        rows = nodes.call("Reshape", rows, nodes.ints([-1, shape_of(source)[-1]]))
    product = nodes.call("Gemm", rows, nodes.value_of(weight), *map(nodes.value_of, bias), transB=1)
    if len(shape_of(source)) != 2:
        product = nodes.call("Reshape", product, nodes.ints(shape_of(node)))
    return product


def _matmul(nodes: Nodes, node: fx.Node) -> ir.Value:
    left, right, transpose_left, transpose_right, alpha = node.args
    pair = nodes.value_of(left), nodes.value_of(right)
    flags = {"transA": int(transpose_left), "transB": int(transpose_right), "alpha": float(alpha)}
    if len(shape_of(node)) == 2:
        return nodes.call("Gemm", *pair, **flags)
    return nodes.call_microsoft("FusedMatMul", *pair, **flags)


def _plain_matmul(nodes: Nodes, node: fx.Node) -> ir.Value:
    return nodes.call("MatMul", *map(nodes.value_of, node.args))


def _dequantize(nodes: Nodes, node: fx.Node) -> ir.Value:
    data, scale, zero_point, bits, *packing = node.args
    assert zero_point is None and packing == ["low_first"], "see passes/lower/blocked_dequantization.py"
    stored = nodes.int4_of(data) if bits == 4 else nodes.value_of(data)
    group = shape_of(node)[1] // shape_of(scale)[1]
    return nodes.call("DequantizeLinear", stored, nodes.value_of(scale), axis=1, block_size=group)


MAPPINGS: dict[object, Mapping] = {
    **{
        getattr(aten, name).default: _unary(operator)
        for name, operator in {
            "neg": "Neg", "exp": "Exp", "log": "Log", "reciprocal": "Reciprocal",
            "abs": "Abs", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "erf": "Erf",
            "sigmoid": "Sigmoid", "floor": "Floor", "ceil": "Ceil", "round": "Round",
            "sign": "Sign",
        }.items()
    },
    **{
        getattr(getattr(aten, name), overload): _binary(operator)
        for name, operator in {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}.items()
        for overload in ("Tensor", "Scalar")
    },
    aten.maximum.default: _binary("Max"),
    aten.minimum.default: _binary("Min"),
    aten.pow.Tensor_Scalar: _binary("Pow"),
    aten.pow.Tensor_Tensor: _binary("Pow"),
    aten.relu.default: _relu,
    aten.rsub.Scalar: _reversed_sub,
    aten.sqrt.default: _root(0.5),
    aten.rsqrt.default: _root(-0.5),
    aten.clamp.default: _clamp,
    **{
        getattr(getattr(aten, name), overload): _compare(operator, negated=name == "ne")
        for name, operator in {
            "eq": "Equal", "ne": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater",
            "ge": "GreaterOrEqual",
        }.items()
        for overload in ("Tensor", "Scalar")
    },
    aten.logical_and.default: _logical("And"),
    aten.logical_or.default: _logical("Or"),
    aten.logical_not.default: _logical("Not"),
    aten.bitwise_not.default: _bitwise("Not", "BitwiseNot"),
    **{
        getattr(getattr(aten, f"bitwise_{name}"), overload): _bitwise(for_bool, f"Bitwise{for_bool}")
        for name, for_bool in {"and": "And", "or": "Or", "xor": "Xor"}.items()
        for overload in ("Tensor", "Scalar")
    },
    aten.bitwise_right_shift.Tensor_Scalar: _right_shift,
    aten.where.self: _where,
    aten.threshold_backward.default: _threshold_backward,
    aten._softmax.default: _softmax("Softmax"),
    aten._log_softmax.default: _softmax("LogSoftmax"),
    aten.sum.dim_IntList: _reduce("ReduceSum"),
    aten.sum.default: _reduce("ReduceSum"),
    aten.mean.dim: _reduce("ReduceMean"),
    aten.mean.default: _reduce("ReduceMean"),
    aten.amax.default: _reduce("ReduceMax"),
    aten.amin.default: _reduce("ReduceMin"),
    aten.view.default: movement.view,
    aten.permute.default: movement.permute,
    aten.slice.Tensor: movement.cut,
    aten.select.int: movement.select,
    aten.cat.default: movement.cat,
    aten.expand.default: movement.expand,
    aten.constant_pad_nd.default: movement.pad,
    aten.embedding.default: movement.gather_rows,
    aten.index_select.default: movement.gather_rows,
    aten.gather.default: movement.gather,
    aten.index_put.default: movement.put,
    aten.scatter_add.default: movement.scatter_add,
    aten._to_copy.default: _to_copy,
    **{op: _fill(None) for op in (aten.full.default, aten.full_like.default, aten.scalar_tensor.default)},
    **{op: _fill(0) for op in (aten.zeros.default, aten.zeros_like.default)},
    **{op: _fill(1) for op in (aten.ones.default, aten.ones_like.default)},
    aten.arange.start_step: _arange,
    aten.arange.start: _arange,
    aten.arange.default: _arange,
    aten.linear.default: _linear,
    aten.mm.default: _plain_matmul,
    aten.bmm.default: _plain_matmul,
    lowpeak.matmul.default: _matmul,
    lowpeak.dequantize.default: _dequantize,
}  # fmt: skip
"""Operator -> how its nodes are built."""


def check_operators(graph_operations: Iterable[fx.Node]) -> None:
    """Raises UnsupportedOperator naming the first operator without a mapping, and its place in the model."""
    for node in graph_operations:
        if node.target is not getitem and node.target not in MAPPINGS:
            raise UnsupportedOperator(
                f"{operator_name(node)}, used in {place_of(node)!r}, has no mapping to ONNX; change that "
                "part of the model, or compile for target='executorch'",
                operator=operator_name(node),
                place=place_of(node),
            )
