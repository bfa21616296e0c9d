"""Causal attention becomes one operator with its own gradient,
so that no [tokens, tokens] tensor has to be kept.

    scaled_dot_product_attention(q, k, v, is_causal=True)  ->  lowpeak::causal_attention(q, k, v, scale)[0]

Key heads may be fewer than query heads (grouped queries). A mask whose value is known and hides the later
tokens, no more and no less, is the same as is_causal. Attention with another mask, with dropout or without
causality is left to its plain-math formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import operands, shape_of
from lowpeak_compiler.passes.fuse.constant_value import constant_value
from lowpeak_compiler.passes.rewrite import Rewriter

sdpa = torch.ops.aten.scaled_dot_product_attention.default
HIDDEN = torch.finfo(torch.float32).min
"""A score with this added to it has the probability 0."""


@dataclass(frozen=True)
class Attention:
    """Maps causal attention to `lowpeak::causal_attention`."""

    def run(self, graph: TrainGraph) -> int:
        causal: dict[fx.Node, bool] = {}
        for node in graph.operations():
            mask = operands(node)["attn_mask"] if node.target is sdpa else None
            if mask is not None and mask not in causal:
                causal[mask] = _hides_later_tokens(graph, mask)
        return sum(_replace(graph, node, causal) for node in graph.operations() if node.target is sdpa)


def _hides_later_tokens(graph: TrainGraph, mask: fx.Node) -> bool:
    """Whether a mask [..., tokens, tokens] hides the later tokens, and changes no other score."""
    queries, keys = shape_of(mask)[-2:]
    value = constant_value(graph, mask) if queries == keys else None
    if value is None:
        return False
    visible = torch.ones(queries, keys, dtype=torch.bool).tril()
    if value.dtype == torch.bool:
        return bool((value == visible).all())
    return bool(torch.where(visible, value == 0, value <= HIDDEN).all())


def _replace(graph: TrainGraph, node: fx.Node, causal: Mapping[fx.Node, bool]) -> bool:
    given: dict[str, Any] = operands(node)
    query, key, value = given["query"], given["key"], given["value"]
    shapes = [tensor.meta["val"].shape for tensor in (query, key, value)]
    mask = given["attn_mask"]
    if given["dropout_p"] or not (given["is_causal"] if mask is None else causal[mask]):
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
