"""Sums, means and extremes along axes, and softmax, as ONNX nodes."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_compiler.ir.nodes import call_args, dtype_of, operands
from lowpeak_export.onnx.emits import Mapping, emits
from lowpeak_export.onnx.nodes import Nodes

aten = torch.ops.aten


def _softmax(operator: str) -> Mapping:
    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        source, axis, *_ = call_args(node)
        return nodes.call(operator, nodes.value_of(source), axis=axis)

    return build


def _reduce(operator: str) -> Mapping:
    """Over `dim`, all axes if it has none."""

    def build(nodes: Nodes, node: fx.Node) -> ir.Value:
        arguments = operands(node)
        axes = arguments.get("dim")
        axes = [axes] if isinstance(axes, int) else axes
        source = nodes.cast(arguments["self"], dtype_of(node))
        keep = int(bool(arguments.get("keepdim")))
        return nodes.call(operator, source, *([nodes.ints(axes)] if axes else []), keepdims=keep)

    return build


emits(aten._softmax.default)(_softmax("Softmax"))
emits(aten._log_softmax.default)(_softmax("LogSoftmax"))
emits(aten.sum.dim_IntList, aten.sum.default)(_reduce("ReduceSum"))
emits(aten.mean.dim, aten.mean.default)(_reduce("ReduceMean"))
emits(aten.amax.default)(_reduce("ReduceMax"))
emits(aten.amin.default)(_reduce("ReduceMin"))
