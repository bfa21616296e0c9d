"""Offload points: a forward value is written to a file once it is made, and comes back for the backward.

    x = op(...); ...; g = backward(x)
    ->  x = op(...); t = store(x, offset); ...; y = load(t, offset); x' = loaded(y); g = backward(x')

The token t makes the load follow the store. The load asks for the value and `loaded` waits for it, so that a
plan can move the load ahead. Values lie in the file one after the other, each from a whole page on.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import Tensor, fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import argument, infer, operand
from lowpeak_compiler.passes.apply.backward_reads import named_call, redirect_backward
from lowpeak_compiler.passes.properties import JOINT, LOWERED, OFFLOADED, ORDERED, RECOMPUTED
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.plan.rematerialize import LOAD_SUFFIX, LOADED_SUFFIX, STORE_SUFFIX

lowpeak = torch.ops.lowpeak
PAGE_BYTES = 4096


@dataclass(frozen=True)
class Offload(Pass):
    """Stores forward values to a file and loads them for the backward.

    `values`: names of forward nodes with one output; `views`: names of nodes that are only views on the
    target.
    """

    requires = frozenset({JOINT, LOWERED, RECOMPUTED})
    ensures = frozenset({OFFLOADED})
    ends = frozenset({ORDERED})

    values: tuple[str, ...]
    views: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        offsets = _offsets(graph, frozenset(self.values))
        tokens = _store(graph, offsets)

        def load(graph: TrainGraph, node: fx.Node, _: dict[fx.Node, fx.Node]) -> fx.Node:
            value = node.meta["val"]
            arguments = (tokens[node], offsets[node.name], list(value.shape), value.dtype)
            loaded = node
            for suffix, operator, operands in (
                (LOAD_SUFFIX, lowpeak.load.default, arguments),
                (LOADED_SUFFIX, lowpeak.loaded.default, ()),
            ):
                loaded = named_call(graph, node.name + suffix, operator, operands or (loaded,), {})
                loaded.meta["val"] = infer(graph, loaded)
            return loaded

        return redirect_backward(graph, self.views, lambda node: node in tokens, load)


def offload_file_bytes(graph: TrainGraph) -> int:
    """Size of the file that holds what the graph stores."""
    ends = [
        int(argument(node, "offset")) + bytes_of(operand(node))
        for node in graph.operations()
        if node.target is lowpeak.store.default
    ]
    return max(ends, default=0)


def bytes_of(node: fx.Node) -> int:
    """Whole pages that the node's value takes in the file."""
    value: Tensor = node.meta["val"]
    return -(-value.numel() * value.element_size() // PAGE_BYTES) * PAGE_BYTES


def _offsets(graph: TrainGraph, values: frozenset[str]) -> dict[str, int]:
    """Places in the file, in the order in which the values are made."""
    offsets, end = {}, 0
    for node in graph.operations():
        if node.name in values:
            offsets[node.name] = end
            end += bytes_of(node)
    return offsets


def _store(graph: TrainGraph, offsets: dict[str, int]) -> dict[fx.Node, fx.Node]:
    """Stores every value after its definition; returns the tokens."""
    tokens = {}
    for node in graph.operations():
        if node.name not in offsets:
            continue
        assert node.target is not getitem, f"{node.name} cannot be offloaded"
        with graph.graph.inserting_after(node):
            arguments = (node, offsets[node.name])
            token = named_call(graph, node.name + STORE_SUFFIX, lowpeak.store.default, arguments, {})
        token.meta["val"] = infer(graph, token)
        tokens[node] = token
    return tokens
