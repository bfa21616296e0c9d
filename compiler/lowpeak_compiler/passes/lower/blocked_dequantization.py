"""Dequantization for targets whose one kernel takes whole matrices without zero points, packed low_first.

    dequantize(w, scale)             ->  dequantize(w', scale)
    dequantize(w, scale, zero)       ->  dequantize(w', scale) - scale * zero          by groups
    dequantize_rows(w, a .. b)       ->  dequantize(slice(w', a, b), slice(scale, a, b))
    dequantize_rows(w, ids)          ->  the bytes of the rows gathered, taken apart and scaled

w' holds the values of w in the other packing, with float32 scales. A slice of a frozen tensor's rows is a
part of the weights file, so a range of rows costs no copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from lowpeak_artifact.ops.record import attach
from lowpeak_artifact.quantized import LOW_FIRST_MASK, Packing
from lowpeak_compiler.ir.graph import Constant, Quantized, TrainGraph
from lowpeak_compiler.ir.nodes import call_args, operand, shape_of
from lowpeak_compiler.passes.properties import LOWERED, NORMAL
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
PACKING: Packing = "low_first"


@attach("lowering", lowpeak.dequantize.default, lowpeak.dequantize_rows.default)
@dataclass(frozen=True)
class BlockedDequantization(Pass):
    """Restates dequantization by whole ranges of rows, without zero points."""

    requires = frozenset({NORMAL})
    ends = frozenset({LOWERED})

    def run(self, graph: TrainGraph) -> int:
        for node, role in graph.inputs():
            if isinstance(role, Quantized):
                graph.roles[node.name] = replace(role, format=replace(role.format, packing=PACKING))
                if role.part == "scale":
                    node.meta["val"] = node.meta["val"].float()
        count = 0
        for node in graph.operations():
            if node.target is lowpeak.dequantize.default:
                _Restated(graph, node).replace_with_rows(None)
            elif node.target is lowpeak.dequantize_rows.default:
                rows = _range_of(graph, operand(node, 4))
                if rows is None:
                    _Restated(graph, node).replace_with_gathered()
                else:
                    _Restated(graph, node).replace_with_rows(rows)
            else:
                continue
            count += 1
        return count


def _range_of(graph: TrainGraph, ids: fx.Node) -> tuple[int, int] | None:
    """(start, end) if the ids are the constant start .. end - 1."""
    role = graph.roles.get(ids.name)
    if not isinstance(role, Constant) or role.value.dim() != 1:
        return None
    value: Tensor = role.value
    start = int(value[0])
    end = start + len(value)
    return (start, end) if torch.equal(value, torch.arange(start, end)) else None


class _Restated:
    def __init__(self, graph: TrainGraph, node: fx.Node) -> None:
        self.new = Rewriter(graph, node)
        self.node = node
        self.data, self.scale, self.zero_point, self.bits = call_args(node)[:4]
        self.groups = shape_of(self.scale)[1]

    def replace_with_rows(self, rows: tuple[int, int] | None) -> None:
        """All rows, or a range of them."""
        call = self.new.call
        parts = [self.data, self.scale, self.zero_point]
        if rows is not None:
            parts = [part and call(aten.slice.Tensor, part, 0, *rows) for part in parts]
        data, scale, zero_point = parts
        matrix = call(lowpeak.dequantize.default, data, scale, None, self.bits, PACKING)
        if zero_point is not None:
            offset = self._per_group(call(aten.mul.Tensor, scale, zero_point))
            matrix = call(aten.sub.Tensor, self._grouped(matrix), offset)
        self._replace(matrix)

    def replace_with_gathered(self) -> None:
        call = self.new.call
        ids = call(aten.view.default, self.node.args[4], [-1])
        data, scale, zero_point = (
            part and call(aten.index_select.default, part, 0, ids)
            for part in (self.data, self.scale, self.zero_point)
        )
        value = self._grouped(self._values(data))
        if zero_point is not None:
            value = call(aten.sub.Tensor, value, self._per_group(zero_point))
        self._replace(call(aten.mul.Tensor, value, self._per_group(scale)))

    def _values(self, data: fx.Node) -> fx.Node:
        """float32 [rows, cols] of stored bytes."""
        call = self.new.call
        if self.bits == 8:
            return call(aten._to_copy.default, data, dtype=torch.float32)
        data = call(aten.bitwise_xor.Scalar, data, LOW_FIRST_MASK)
        even = call(aten.bitwise_and.Scalar, data, 15)
        odd = call(aten.bitwise_right_shift.Tensor_Scalar, data, 4)
        shape = [*shape_of(data), 1]
        nibbles = call(aten.cat.default, [call(aten.view.default, x, shape) for x in (even, odd)], 2)
        return call(aten.sub.Scalar, call(aten._to_copy.default, nibbles, dtype=torch.float32), 8)

    def _grouped(self, matrix: fx.Node) -> fx.Node:
        return self.new.call(
            aten.view.default, matrix, [-1, self.groups, shape_of(self.node)[-1] // self.groups]
        )

    def _per_group(self, value: fx.Node) -> fx.Node:
        return self.new.call(aten.view.default, value, [-1, self.groups, 1])

    def _replace(self, matrix: fx.Node) -> None:
        self.new.replace_with(self.new.call(aten.view.default, matrix, list(shape_of(self.node))))
