"""Tensors of given values as ONNX nodes."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_compiler.ir.nodes import dtype_of, operands, shape_of
from lowpeak_export.onnx.emits import Mapping, emits
from lowpeak_export.onnx.nodes import Nodes

aten = torch.ops.aten


def _fill(value: float | None) -> Mapping:
    """A tensor of one value: the operator's own, or the node's."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        arguments = operands(node)
        filled = arguments.get("fill_value", arguments.get("s")) if value is None else value
        tensor = ir.Tensor(torch.tensor([filled], dtype=dtype_of(node)).numpy())
        return nodes.call("ConstantOfShape", nodes.ints(shape_of(node)), value=tensor)

    return build


@emits(aten.arange.default, aten.arange.start, aten.arange.start_step)
def _arange(nodes: Nodes, node: fx.Node) -> ir.Value:
    arguments, dtype = operands(node), dtype_of(node)
    start, end, step = arguments.get("start", 0), arguments["end"], arguments.get("step", 1)
    if not dtype.is_floating_point:
        return nodes.call("Range", *(nodes.scalar(bound, dtype) for bound in (start, end, step)))
    # The runtime adds up the steps, and their rounding errors.
    count = shape_of(node)[0]
    numbers = nodes.call("Range", *(nodes.scalar(bound, dtype) for bound in (0, count, 1)))
    multiples = nodes.call("Mul", numbers, nodes.scalar(step, dtype))
    return nodes.call("Add", multiples, nodes.scalar(start, dtype))


emits(aten.full.default, aten.full_like.default, aten.scalar_tensor.default)(_fill(None))
emits(aten.zeros.default, aten.zeros_like.default)(_fill(0))
emits(aten.ones.default, aten.ones_like.default)(_fill(1))
