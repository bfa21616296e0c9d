"""Offload points: a forward value goes to a file after its last forward use and comes back for the backward.

    x = op(...); ...; g = backward(x)  ->  x = op(...); t = store(x, slot); ...; x' = load(t, slot); g = backward(x')

The token t makes the load follow the store. Slots are numbered in the order of the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from compiler.graph import TrainGraph, forward_nodes
from compiler.passes.backward_reads import named_call, redirect_backward
from compiler.passes.rewrite import infer
from compiler.plan.rematerialize import LOAD_SUFFIX, STORE_SUFFIX


@dataclass(frozen=True)
class Offload:
    """`values`: names of forward nodes with one output; `views`: names of nodes that are only views on the target."""

    values: tuple[str, ...]
    views: frozenset[str]

    def run(self, graph: TrainGraph) -> int:
        slots = {name: slot for slot, name in enumerate(self.values)}
        tokens = _store(graph, slots, self.views)

        def load(graph: TrainGraph, node: fx.Node, _: dict[fx.Node, fx.Node]) -> fx.Node:
            value = node.meta["val"]
            arguments = (tokens[node], slots[node.name], list(value.shape), value.dtype)
            loaded = named_call(graph, node.name + LOAD_SUFFIX, torch.ops.lowpeak.load.default, arguments, {})
            loaded.meta["val"] = infer(loaded)
            return loaded

        return redirect_backward(graph, self.views, lambda node: node in tokens, load)


def _store(graph: TrainGraph, slots: dict[str, int], views: frozenset[str]) -> dict[fx.Node, fx.Node]:
    """Stores every value behind the last forward node that reads it or a view of it; gives the tokens."""
    forward = forward_nodes(graph)
    position = {node: index for index, node in enumerate(graph.graph.nodes)}
    tokens = {}
    for node in graph.operations():
        if node.name not in slots:
            continue
        assert node in forward and node.target is not getitem, f"{node.name} cannot be offloaded"
        reached, readers = [node], [node]
        while reached:
            for user in reached.pop().users:
                if user in forward:
                    readers.append(user)
                    if user.name in views:
                        reached.append(user)
        last = max(readers, key=position.__getitem__)
        with graph.graph.inserting_after(last):
            arguments = (node, slots[node.name])
            token = named_call(graph, node.name + STORE_SUFFIX, torch.ops.lowpeak.store.default, arguments, {})
        token.meta["val"] = infer(token)
        tokens[node] = token
    return tokens
