"""Comparisons, choices between values, and operators on bits as ONNX nodes."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.ir.graph import operator_name, place_of
from lowpeak_compiler.ir.nodes import call_args, dtype_of
from lowpeak_export.onnx.arithmetic import operand_of
from lowpeak_export.onnx.emits import Mapping, emits
from lowpeak_export.onnx.nodes import Nodes

aten = torch.ops.aten


def _compare(operator: str, *, negated: bool = False) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        left, right = call_args(node)
        first, second = (x.meta["val"] if isinstance(x, fx.Node) else x for x in (left, right))
        dtype = torch.result_type(first, second)
        if dtype == torch.bool and operator != "Equal":
            # ONNX orders no booleans.
            dtype = torch.int32
        compared = nodes.call(operator, operand_of(nodes, left, dtype), operand_of(nodes, right, dtype))
        return nodes.call("Not", compared) if negated else compared

    return build


def _logical(operator: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        return nodes.call(operator, *(nodes.cast(operand, torch.bool) for operand in call_args(node)))

    return build


def _bitwise(for_bool: str, for_integers: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        dtype = dtype_of(node)
        operator = for_bool if dtype == torch.bool else for_integers
        return nodes.call(operator, *(operand_of(nodes, operand, dtype) for operand in call_args(node)))

    return build


@emits(aten.bitwise_right_shift.Tensor_Scalar)
def _right_shift(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, places = call_args(node)
    if dtype_of(node) != torch.uint8:
        raise UnsupportedOperator(
            f"a right shift of {str(dtype_of(node))[6:]} in {place_of(node)!r} has no mapping to ONNX, which "
            "shifts unsigned integers only; divide by a power of two",
            operator=operator_name(node),
            place=place_of(node),
        )
    places = nodes.scalar(places, dtype_of(node))
    return nodes.call("BitShift", nodes.value_of(source), places, direction="RIGHT")


@emits(aten.where.self)
def _where(nodes: Nodes, node: fx.Node) -> ir.Value:
    condition, left, right = call_args(node)
    dtype = dtype_of(node)
    chosen = [nodes.cast(operand, dtype) for operand in (left, right)]
    return nodes.call("Where", nodes.cast(condition, torch.bool), *chosen)


COMPARISONS = {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal"}
BITWISE = {"and": "And", "or": "Or", "xor": "Xor"}
for _overload in ("Tensor", "Scalar"):
    for _name, _operator in COMPARISONS.items():
        emits(getattr(getattr(aten, _name), _overload))(_compare(_operator))
    emits(getattr(aten.ne, _overload))(_compare("Equal", negated=True))
    for _name, _operator in BITWISE.items():
        _bits = getattr(aten, f"bitwise_{_name}")
        emits(getattr(_bits, _overload))(_bitwise(_operator, f"Bitwise{_operator}"))
emits(aten.bitwise_not.default)(_bitwise("Not", "BitwiseNot"))
emits(aten.logical_and.default)(_logical("And"))
emits(aten.logical_or.default)(_logical("Or"))
emits(aten.logical_not.default)(_logical("Not"))
