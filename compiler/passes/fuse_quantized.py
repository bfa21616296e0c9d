"""Products that read a quantized matrix as it is stored, so that no dequantized one exists.

linear(x, dequantize(w), bias)               ->  lowpeak::quantized_linear(x, w, bias)
mm(dy, dequantize(w))                        ->  lowpeak::quantized_linear_input_gradient(dy, w)
linear_cross_entropy(h, dequantize(w), ...)  ->  lowpeak::quantized_linear_cross_entropy(h, w, ...)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter, operands

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak


@dataclass(frozen=True)
class FuseQuantized:
    """`operators`: names of the fused operators that the target has."""

    operators: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        return sum(
            _fuse(graph, node, *RULES[node.target])
            for node in graph.operations()
            if node.target in RULES and RULES[node.target][0] in self.operators
        )


def _fuse(
    graph: TrainGraph, node: fx.Node, name: str, matrix: str, arguments: Callable[..., list[Any]]
) -> bool:
    given: dict[str, Any] = operands(node)
    weight = given[matrix]
    if weight.target is not lowpeak.dequantize.default:
        return False
    stored = operands(weight)
    if stored["packing"] != "high_first":
        return False
    parts = [stored[part] for part in ("data", "scale", "zero_point", "bits")]
    new = Rewriter(graph, node)
    return new.replace_with(new.call(getattr(lowpeak, name).default, *arguments(parts, **given)))


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
