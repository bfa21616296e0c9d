"""Frozen matrices are stored quantized; an explicit dequantize node stands before every use.

    linear(x, w)       ->  linear(x, lowpeak::dequantize(w.data, w.scale, w.zero_point))
    embedding(w, ids)  ->  lowpeak::dequantize_rows(w.data, w.scale, w.zero_point, ids)

A tied matrix has one stored copy. A matrix that the checkpoint holds quantized keeps its format, so its
blocks are taken over as they are; a matrix whose columns no group divides stays float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import fx

from lowpeak_artifact.quantized import QuantFormat, choose_format
from lowpeak_compiler.ir.graph import Frozen, Quantized, QuantPart, TrainGraph
from lowpeak_compiler.ir.nodes import shape_of
from lowpeak_compiler.passes.properties import FORWARD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten
MATRIX_OPERANDS = {aten.linear.default: 1, aten.embedding.default: 0}


@dataclass(frozen=True)
class Quantize(Pass):
    """Stores frozen matrices quantized; each use dequantizes.

    `bits` and `group_size` are for dense weights; `stored` maps parameter names to formats to be kept.
    """

    requires = frozenset({FORWARD})

    bits: Literal[4, 8] = 4
    group_size: int = 32
    stored: Mapping[str, QuantFormat] = field(default_factory=dict)
    only_stored: bool = False
    """Quantize nothing that the checkpoint does not hold quantized."""

    def run(self, graph: TrainGraph) -> int:
        count = 0
        for node, role in list(graph.inputs()):
            if not isinstance(role, Frozen) or not _is_matrix_operand(node):
                continue
            rows, cols = shape_of(node)
            wanted = None if self.only_stored else choose_format(rows, cols, self.bits, self.group_size)
            format = self.stored.get(role.name, wanted)
            if format is not None:
                _quantize(graph, node, role.name, format)
                count += 1
        return count


def _is_matrix_operand(node: fx.Node) -> bool:
    value = node.meta["val"]
    return (
        value.dim() == 2
        and value.is_floating_point()
        and any(
            user.target in MATRIX_OPERANDS and user.args[MATRIX_OPERANDS[user.target]] is node
            for user in node.users
        )
    )


def _quantize(graph: TrainGraph, node: fx.Node, name: str, format: QuantFormat) -> None:
    rows, cols = shape_of(node)
    value = node.meta["val"].detach()

    def stored(part: QuantPart, shape: tuple[int, int], dtype: torch.dtype) -> fx.Node:
        role = Quantized(name, format, part)
        return graph.add_input(role, value.new_empty(shape, dtype=dtype), f"{node.name}_{part}")

    scale_shape = format.scale_shape(rows, cols)
    data = stored("data", format.data_shape(rows, cols), format.data_dtype)
    scale = stored("scale", scale_shape, format.scale_dtype)
    zero_point = stored("zero_point", scale_shape, torch.float32) if format.zero_point else None
    parts = (data, scale, zero_point, format.bits)
    for user in list(node.users):
        rewriter = Rewriter(graph, user)
        if user.target is aten.embedding.default and user.args[0] is node:
            rewriter.replace_with(
                rewriter.call(torch.ops.lowpeak.dequantize_rows.default, *parts, user.args[1])
            )
        else:
            user.replace_input_with(node, rewriter.call(torch.ops.lowpeak.dequantize.default, *parts))
