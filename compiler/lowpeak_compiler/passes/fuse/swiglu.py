"""The gated activation becomes one operator, whose backward needs gate and up only.

silu(gate) * up  ->  lowpeak::swiglu(gate, up)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.ir.nodes import dtype_of, shape_of
from lowpeak_compiler.passes.properties import FORWARD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten


@dataclass(frozen=True)
class Swiglu(Pass):
    """Makes the gated activation silu(gate) * up one operator."""

    requires = frozenset({FORWARD})

    def run(self, graph: TrainGraph) -> int:
        return sum(_replace(graph, node) for node in graph.operations() if node.target is aten.mul.Tensor)

    def misses(self, graph: TrainGraph) -> list[Miss]:
        gated = [node for node in graph.operations() if node.target is aten.silu.default]
        return [Miss.of(silu, _problem_of_silu(silu)) for silu in gated]


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    for silu, up in (node.args, node.args[::-1]):
        if not all(isinstance(x, fx.Node) for x in (silu, up)) or silu.target is not aten.silu.default:
            continue
        if _problem(silu.args[0], up) is None:
            new = Rewriter(graph, node)
            return new.replace_with(new.call(torch.ops.lowpeak.swiglu.default, silu.args[0], up))
    return False


def _problem(gate: fx.Node, up: fx.Node) -> str | None:
    if shape_of(gate) != shape_of(up):
        return f"gate {list(shape_of(gate))} and up {list(shape_of(up))} differ in shape"
    for what, node in (("gate", gate), ("up", up)):
        if dtype_of(node) != torch.float32:
            return f"{what} is {str(dtype_of(node)).removeprefix('torch.')}, not float32"
    return None


def _problem_of_silu(silu: fx.Node) -> str:
    for product in silu.users:
        others = [x for x in product.args if isinstance(x, fx.Node) and x is not silu]
        if product.target is aten.mul.Tensor and others:
            return _problem(silu.args[0], others[0]) or "something else reads the activation too"
    readers = ", ".join(sorted({operator_name(user) for user in silu.users})) or "nothing"
    return f"no product with another tensor reads it: {readers}"
