"""Attention reads queries, keys and values as the projections write them, so that nothing is transposed.

    causal_attention(q', k', v', scale)[0]'  ->  causal_attention(q, k, v, scale, heads_axis=2)[0]
    rotary(x', cos, sin)                     ->  rotary(x, cos, sin, heads_axis=2)      as q' or k'

' swaps heads and tokens: [batch, tokens, heads, dim] <-> [batch, heads, tokens, dim].
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.ir.nodes import operands, shape_of
from lowpeak_compiler.passes.properties import CAUSAL_ATTENTION, FORWARD, ROTARY
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
HEADS_AXIS = 2


@dataclass(frozen=True)
class TokenMajor(Pass):
    """Lets attention read queries, keys and values untransposed, token by token."""

    requires = frozenset({FORWARD, CAUSAL_ATTENTION, ROTARY})

    def run(self, graph: TrainGraph) -> int:
        attention = lowpeak.causal_attention.default
        nodes = [node for node in graph.operations() if node.target is attention]
        return sum(_problem(node) is None and _replace(graph, node) for node in nodes)

    def misses(self, graph: TrainGraph) -> list[Miss]:
        attention = lowpeak.causal_attention.default
        nodes = [node for node in graph.operations() if node.target is attention and len(node.args) == 4]
        return [Miss.of(node, reason) for node in nodes if (reason := _problem(node))]


def _problem(node: fx.Node) -> str | None:
    if any(user.target is not getitem or user.args[1] != 0 for user in node.users):
        return "more than its result is read"
    for what, operand in zip(("queries", "keys", "values"), node.args, strict=False):
        if not (_swapped(operand) or _swapped(_turned(operand))):
            return f"its {what} are {operator_name(operand)}, not heads and tokens swapped"
    return None


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    query, key, value, scale = node.args
    new = Rewriter(graph, node)
    pair = new.call(
        lowpeak.causal_attention.default,
        *(_token_major(new, x) for x in (query, key, value)),
        scale,
        HEADS_AXIS,
    )
    out = new.call(getitem, pair, 0)
    for result in list(node.users):
        for user in list(result.users):
            if _swapped(user):
                user.replace_all_uses_with(out)
                graph.graph.erase_node(user)
        if result.users:
            result.replace_all_uses_with(new.call(aten.transpose.int, out, 1, 2))
        graph.graph.erase_node(result)
    graph.graph.erase_node(node)
    return True


def _token_major(new: Rewriter, heads: fx.Node) -> fx.Node:
    if _swapped(heads):
        return heads.args[0]
    x, *rest = heads.args[:4]
    return new.call(lowpeak.rotary.default, x.args[0], *rest, HEADS_AXIS)


def _turned(node: fx.Node) -> fx.Node | None:
    """What a rotary embedding turns."""
    return node.args[0] if node.target is lowpeak.rotary.default and len(node.args) == 4 else None


def _swapped(node: fx.Node | None) -> bool:
    if node is None or node.target is not aten.transpose.int or len(shape_of(node)) != 4:
        return False
    arguments = operands(node)
    return {arguments["dim0"] % 4, arguments["dim1"] % 4} == {1, 2}
