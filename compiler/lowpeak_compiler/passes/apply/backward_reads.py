"""What the backward reads in place of a forward value: the shared part of recompute and offload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, forward_nodes

Replace = Callable[[TrainGraph, fx.Node, dict[fx.Node, fx.Node]], fx.Node]
"""Makes, at the graph's insertion point, what stands for a forward node in the backward;
gets its operands' stand-ins.
"""


def redirect_backward(
    graph: TrainGraph, views: frozenset[str], chosen: Callable[[fx.Node], bool], replace: Replace
) -> int:
    """Every backward node reads stand-ins of the chosen forward nodes, made before their first reader."""
    forward = forward_nodes(graph)
    stand_in: dict[fx.Node, fx.Node] = {}
    unaffected: set[fx.Node] = set()
    count = 0
    for node in graph.operations():
        if node in forward or node.target is torch.ops.lowpeak.store.default:
            continue
        pending = [operand for operand in node.all_input_nodes if operand in forward]
        while pending:
            operand = pending[-1]
            if operand in stand_in or operand in unaffected:
                pending.pop()
                continue
            wanted = chosen(operand)
            follows = wanted or operand.name in views
            missing = [
                source
                for source in operand.all_input_nodes
                if source in forward and source not in stand_in and source not in unaffected
            ]
            if follows and missing:
                pending.extend(missing)
                continue
            pending.pop()
            if wanted or (follows and any(source in stand_in for source in operand.all_input_nodes)):
                with graph.graph.inserting_before(node):
                    if wanted:
                        stand_in[operand] = replace(graph, operand, stand_in)
                        count += 1
                    else:
                        stand_in[operand] = graph.graph.node_copy(operand, lambda n: stand_in.get(n, n))
            else:
                unaffected.add(operand)
        for operand in node.all_input_nodes:
            if operand in stand_in:
                node.replace_input_with(operand, stand_in[operand])
    return count


def named_call(
    graph: TrainGraph, name: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> fx.Node:
    """A call under exactly this name, which the plan knows it by."""
    node = graph.graph.create_node("call_function", target, args, kwargs, name=name)
    assert node.name == name, f"the graph already has a node {name}"
    return node
