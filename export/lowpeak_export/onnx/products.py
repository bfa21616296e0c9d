"""Matrix products, and quantized matrices as floats, as ONNX nodes."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_compiler.ir.nodes import call_args, shape_of
from lowpeak_export.onnx.emits import emits
from lowpeak_export.onnx.nodes import Nodes

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak


@emits(aten.linear.default)
def _linear(nodes: Nodes, node: fx.Node) -> ir.Value:
    source, weight, *bias = call_args(node)
    rows = nodes.value_of(source)
    if len(shape_of(source)) != 2:
        rows = nodes.call("Reshape", rows, nodes.ints([-1, shape_of(source)[-1]]))
    product = nodes.call("Gemm", rows, nodes.value_of(weight), *map(nodes.value_of, bias), transB=1)
    if len(shape_of(source)) != 2:
        product = nodes.call("Reshape", product, nodes.ints(shape_of(node)))
    return product


@emits(lowpeak.matmul.default)
def _matmul(nodes: Nodes, node: fx.Node) -> ir.Value:
    left, right, transpose_left, transpose_right, alpha = call_args(node)
    pair = nodes.value_of(left), nodes.value_of(right)
    flags: dict[str, Any] = {
        "transA": int(transpose_left),
        "transB": int(transpose_right),
        "alpha": float(alpha),
    }
    if len(shape_of(node)) == 2:
        return nodes.call("Gemm", *pair, **flags)
    return nodes.call_microsoft("FusedMatMul", *pair, **flags)


@emits(aten.mm.default, aten.bmm.default)
def _plain_matmul(nodes: Nodes, node: fx.Node) -> ir.Value:
    return nodes.call("MatMul", *map(nodes.value_of, call_args(node)))


@emits(lowpeak.dequantize.default)
def _dequantize(nodes: Nodes, node: fx.Node) -> ir.Value:
    data, scale, zero_point, bits, *packing = call_args(node)
    assert zero_point is None and packing == ["low_first"], "see passes/lower/blocked_dequantization.py"
    stored = nodes.int4_of(data) if bits == 4 else nodes.value_of(data)
    group = shape_of(node)[1] // shape_of(scale)[1]
    return nodes.call("DequantizeLinear", stored, nodes.value_of(scale), axis=1, block_size=group)
