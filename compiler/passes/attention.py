"""Causal attention becomes one operator with its own gradient,
so that no [tokens, tokens] tensor has to be kept.

    scaled_dot_product_attention(q, k, v, is_causal=True)  ->  lowpeak::causal_attention(q, k, v, scale)[0]

Key heads may be fewer than query heads (grouped queries). Attention with a mask, with dropout or without
causality is left to its plain-math formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter, operands

sdpa = torch.ops.aten.scaled_dot_product_attention.default


@dataclass(frozen=True)
class Attention:
    """Maps causal attention to `lowpeak::causal_attention`."""

    def run(self, graph: TrainGraph) -> int:
        return sum(_replace(graph, node) for node in graph.operations() if node.target is sdpa)


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    given: dict[str, Any] = operands(node)
    query, key, value = given["query"], given["key"], given["value"]
    shapes = [tensor.meta["val"].shape for tensor in (query, key, value)]
    if given["attn_mask"] is not None or given["dropout_p"] or not given["is_causal"]:
        return False
    if any(len(shape) != 4 for shape in shapes) or shapes[0][2:] != shapes[1][2:] or shapes[1] != shapes[2]:
        return False
    if shapes[0][1] % shapes[1][1]:
        return False
    scale = given["scale"] if given["scale"] is not None else 1 / math.sqrt(shapes[0][-1])
    rewriter = Rewriter(graph, node)
    pair = rewriter.call(torch.ops.lowpeak.causal_attention.default, query, key, value, float(scale))
    rewriter.replace_with(rewriter.call(getitem, pair, 0))
    return True
