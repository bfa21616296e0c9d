"""Offload points: a forward value is written to a file once it is made, and comes back for the backward.

    x = op(...); ...; g = backward(x)
    ->  x = op(...); t = store(x, slot); ...; x' = load(t, slot); g = backward(x')

The token t makes the load follow the store. Slots are numbered in the order of the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.backward_reads import named_call, redirect_backward
from compiler.passes.rewrite import infer
from compiler.plan.rematerialize import LOAD_SUFFIX, STORE_SUFFIX


@dataclass(frozen=True)
class Offload:
    """`values`: names of forward nodes with one output;
    `views`: names of nodes that are only views on the target.
    """

    values: tuple[str, ...]
    views: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        slots = {name: slot for slot, name in enumerate(self.values)}
        tokens = _store(graph, slots)

        def load(graph: TrainGraph, node: fx.Node, _: dict[fx.Node, fx.Node]) -> fx.Node:
            value = node.meta["val"]
            arguments = (tokens[node], slots[node.name], list(value.shape), value.dtype)
            loaded = named_call(graph, node.name + LOAD_SUFFIX, torch.ops.lowpeak.load.default, arguments, {})
            loaded.meta["val"] = infer(graph, loaded)
            return loaded

        return redirect_backward(graph, self.views, lambda node: node in tokens, load)


def _store(graph: TrainGraph, slots: dict[str, int]) -> dict[fx.Node, fx.Node]:
    """Stores every value behind its definition; gives the tokens."""
    tokens = {}
    for node in graph.operations():
        if node.name not in slots:
            continue
        assert node.target is not getitem, f"{node.name} cannot be offloaded"
        with graph.graph.inserting_after(node):
            arguments = (node, slots[node.name])
            token = named_call(
                graph, node.name + STORE_SUFFIX, torch.ops.lowpeak.store.default, arguments, {}
            )
        token.meta["val"] = infer(graph, token)
        tokens[node] = token
    return tokens
