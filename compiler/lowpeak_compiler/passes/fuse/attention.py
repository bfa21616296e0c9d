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
from lowpeak_compiler.passes.properties import CAUSAL_ATTENTION, FORWARD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

sdpa = torch.ops.aten.scaled_dot_product_attention.default
HIDDEN = torch.finfo(torch.float32).min
"""A score with this added to it has the probability 0."""


@dataclass(frozen=True)
class Attention(Pass):
    """Makes causal attention one operator, `lowpeak::causal_attention`."""

    requires = frozenset({FORWARD})
    ensures = frozenset({CAUSAL_ATTENTION})

    def run(self, graph: TrainGraph) -> int:
        matches = [node for node, reason in _candidates(graph) if reason is None]
        for node in matches:
            _replace(graph, node)
        return len(matches)

    def misses(self, graph: TrainGraph) -> list[Miss]:
        return [Miss.of(node, reason) for node, reason in _candidates(graph) if reason is not None]


def _candidates(graph: TrainGraph) -> list[tuple[fx.Node, str | None]]:
    """Every attention, and why it is not plain causal attention."""
    nodes = [node for node in graph.operations() if node.target is sdpa]
    masks = dict.fromkeys(mask for node in nodes if (mask := operands(node)["attn_mask"]) is not None)
    problems = {mask: _mask_problem(graph, mask) for mask in masks}
    return [(node, _problem(node, problems)) for node in nodes]


def _mask_problem(graph: TrainGraph, mask: fx.Node) -> str | None:
    """None if a mask [..., tokens, tokens] hides the later tokens, and changes no other score."""
    queries, keys = shape_of(mask)[-2:]
    if queries != keys:
        return f"its mask is for {queries} queries and {keys} keys"
    value = constant_value(graph, mask)
    if value is None:
        return "its mask depends on the batch, on weights or on chance"
    visible = torch.ones(queries, keys, dtype=torch.bool).tril()
    hidden = ~value if value.dtype == torch.bool else value <= HIDDEN
    if (hidden & visible).any():
        return "its mask hides tokens that are not later ones, as a window or padding does"
    if not (hidden | visible).all():
        return "its mask lets tokens see later ones"
    if value.dtype != torch.bool and torch.where(visible, value, 0).any():
        return "its mask changes scores of tokens that it does not hide"
    return None


def _problem(node: fx.Node, masks: Mapping[fx.Node, str | None]) -> str | None:
    arguments: dict[str, Any] = operands(node)
    mask = arguments["attn_mask"]
    if arguments["dropout_p"]:
        return f"dropout_p is {arguments['dropout_p']}"
    if mask is None and not arguments["is_causal"]:
        return "it is not causal, and has no mask"
    if mask is not None and (problem := masks[mask]):
        return problem
    query, key, value = (shape_of(arguments[name]) for name in ("query", "key", "value"))
    if any(len(shape) != 4 for shape in (query, key, value)):
        return f"queries are {list(query)}, not [batch, heads, tokens, dim]"
    if query[2:] != key[2:] or key != value:
        return f"queries {list(query)}, keys {list(key)} and values {list(value)} differ in tokens or dim"
    if query[1] % key[1]:
        return f"{query[1]} query heads cannot share {key[1]} key heads evenly"
    return None


def _replace(graph: TrainGraph, node: fx.Node) -> None:
    arguments: dict[str, Any] = operands(node)
    query, key, value = arguments["query"], arguments["key"], arguments["value"]
    scale = arguments["scale"] if arguments["scale"] is not None else 1 / math.sqrt(shape_of(query)[-1])
    rewriter = Rewriter(graph, node)
    pair = rewriter.call(torch.ops.lowpeak.causal_attention.default, query, key, value, float(scale))
    rewriter.replace_with(rewriter.call(getitem, pair, 0))
