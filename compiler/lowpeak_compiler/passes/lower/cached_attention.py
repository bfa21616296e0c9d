"""Causal attention of a whole sequence becomes that of tokens which follow others.

    causal_attention(q, k, v, scale, heads_axis)[0]
        ->  lowpeak::cached_attention(q, k, v, key cache, value cache, positions, scale, heads_axis)

The caches are state of the program: float32 [1, key heads, longest, dim], two for each attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import fx

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.ir.graph import Batch, State, TrainGraph, place_of
from lowpeak_compiler.ir.nodes import operands, shape_of
from lowpeak_compiler.passes.properties import CACHED, LOWERED
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

lowpeak = torch.ops.lowpeak
POSITIONS = "position_ids"
"""The graph's input that tells which tokens these are."""


@dataclass(frozen=True)
class CachedAttention(Pass):
    """Lets attention read caches of keys and values, of `longest` tokens."""

    requires = frozenset({LOWERED})
    ensures = frozenset({CACHED})

    longest: int

    def run(self, graph: TrainGraph) -> int:
        positions = next(n for n, role in graph.inputs() if role == Batch(POSITIONS))
        attentions = [node for node in graph.operations() if node.target is lowpeak.causal_attention.default]
        for number, node in enumerate(attentions):
            self._replace(graph, node, number, positions)
        return len(attentions)

    def _replace(self, graph: TrainGraph, node: fx.Node, number: int, positions: fx.Node) -> None:
        arguments: dict[str, Any] = operands(node)
        if any(user.target is not getitem or user.args[1] != 0 for user in node.users):
            raise ModelError(f"{place_of(node)!r} uses more of its attention than the result")
        key = arguments["key"]
        batch, *_, dim = shape_of(key)
        shape = (batch, shape_of(key)[arguments["heads_axis"]], self.longest, dim)
        caches = [
            graph.add_input(
                State(f"{number}.{part}"), key.meta["val"].new_empty(shape), f"cache_{number}_{part}"
            )
            for part in ("key", "value")
        ]
        new = Rewriter(graph, node)
        out = new.call(
            lowpeak.cached_attention.default,
            *(arguments[name] for name in ("query", "key", "value")),
            *caches,
            positions,
            arguments["scale"],
            arguments["heads_axis"],
        )
        for user in list(node.users):
            user.replace_all_uses_with(out)
            graph.graph.erase_node(user)
        graph.graph.erase_node(node)
