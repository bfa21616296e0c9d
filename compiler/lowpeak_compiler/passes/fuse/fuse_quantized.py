"""Products that read a quantized matrix as it is stored, so that no dequantized one exists.

linear(x, dequantize(w), bias)               ->  lowpeak::quantized_linear(x, w, bias)
mm(dy, dequantize(w))                        ->  lowpeak::quantized_linear_input_gradient(dy, w)
linear_cross_entropy(h, dequantize(w), ...)  ->  lowpeak::quantized_linear_cross_entropy(h, w, ...)

A product with some of a matrix's rows is one with the stored form of these rows:
linear_cross_entropy(h, dequantize_rows(w, ids), ...)
    ->  lowpeak::quantized_linear_cross_entropy(h, select_rows(w, ids), ...)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from lowpeak_artifact.ops.quantized import STORED
from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.ir.nodes import operands, shape_of
from lowpeak_compiler.passes.properties import FUSED_QUANTIZED, LOWERED, NORMAL, PLAIN_PRODUCTS
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak


@dataclass(frozen=True)
class FuseQuantized(Pass):
    """Lets products read quantized matrices as they are stored.

    `operators`: names of the fused operators that the target has.
    """

    requires = frozenset({NORMAL, PLAIN_PRODUCTS})
    ensures = frozenset({FUSED_QUANTIZED})
    ends = frozenset({LOWERED})

    operators: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        return sum(
            self._fuse(graph, node, *RULES[node.target])
            for node in graph.operations()
            if node.target in RULES and RULES[node.target][0] in self.operators
        )

    def misses(self, graph: TrainGraph) -> list[Miss]:
        reasons = ((node, self._problem(node)) for node in graph.operations())
        return [Miss.of(node, reason) for node, reason in reasons if reason]

    def _problem(self, node: fx.Node) -> str | None:
        """Why a matrix stays dequantized for a reader; None for what does not dequantize one."""
        if node.target is lowpeak.dequantize_rows.default:
            for user in node.users:
                if user.target in RULES and operands(user).get(RULES[user.target][1]) is node:
                    if "select_rows" not in self.operators:
                        return f"the target has no select_rows for the rows that {user.name} reads"
                    return f"its ids are {list(shape_of(node.args[-1]))}, not one list"
        if node.target is not lowpeak.dequantize.default:
            return None
        for user in node.users:
            if user.target not in RULES:
                return f"{user.name}, {operator_name(user)}, has no form that reads a quantized matrix"
            name, matrix, _ = RULES[user.target]
            if operands(user)[matrix] is not node:
                return f"{user.name} reads it as another operand than {matrix!r}"
            if name not in self.operators:
                return f"the target has no {name} for {user.name}"
        packing = operands(node)["packing"]
        return None if packing == "high_first" else f"it is packed {packing}, kernels read high_first"

    def _fuse(
        self, graph: TrainGraph, node: fx.Node, name: str, matrix: str, arguments: Callable[..., list[Any]]
    ) -> bool:
        named: dict[str, Any] = operands(node)
        new = Rewriter(graph, node)
        parts = _stored(named[matrix])
        if parts is None and "select_rows" in self.operators:
            parts = _stored_rows(new, named[matrix])
        if parts is None:
            return False
        return new.replace_with(new.call(getattr(lowpeak, name).default, *arguments(parts, **named)))


def _stored(weight: fx.Node) -> list[Any] | None:
    """data, scale, zero_point and bits of a dequantized matrix; None if it is none that kernels read."""
    if weight.target is not lowpeak.dequantize.default:
        return None
    stored = operands(weight)
    return [stored[part] for part in STORED] if stored["packing"] == "high_first" else None


def _stored_rows(new: Rewriter, weight: fx.Node) -> list[Any] | None:
    """The same of rows of a matrix, which are selected first."""
    if weight.target is not lowpeak.dequantize_rows.default:
        return None
    *tensors, bits, ids = operands(weight).values()
    if len(shape_of(ids)) != 1:
        return None
    return [*(part and new.call(lowpeak.select_rows.default, part, ids) for part in tensors), bits]


def _linear(parts: list[Any], input: fx.Node, bias: fx.Node | None, **_: Any) -> list[Any]:
    return [input, *parts, bias]


def _product(parts: list[Any], self: fx.Node, **_: Any) -> list[Any]:
    return [self, *parts]


def _loss(
    parts: list[Any], hidden: fx.Node, bias: fx.Node | None, labels: fx.Node, ignore_index: int, **_: Any
) -> list[Any]:
    return [hidden, *parts, bias, labels, ignore_index]


RULES: dict[object, tuple[str, str, Callable[..., list[Any]]]] = {
    aten.linear.default: ("quantized_linear", "weight", _linear),
    aten.mm.default: ("quantized_linear_input_gradient", "mat2", _product),
    lowpeak.linear_cross_entropy.default: ("quantized_linear_cross_entropy", "weight", _loss),
}
"""By operator: the fused one, the operand that is dequantized, the arguments of the fused one."""
