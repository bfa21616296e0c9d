"""The value of a node that depends on no input of the graph: masks, positions and the like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from lowpeak_compiler.ir.graph import Constant, TrainGraph


def constant_value(graph: TrainGraph, node: fx.Node) -> Tensor | None:
    """The constant value of the node; None if it depends on weights, the batch or chance."""
    needed = _ancestors(node)
    values: dict[fx.Node, Any] = {}
    for each in sorted(needed):
        if each.op == "placeholder":
            role = graph.roles[each.name]
            if not isinstance(role, Constant):
                return None
            values[each] = role.value
        elif _is_random(each):
            return None
    with torch.no_grad():
        for each in sorted(needed):
            if each not in values:
                args, kwargs = fx.map_arg((each.args, each.kwargs), values.__getitem__)
                values[each] = each.target(*args, **kwargs)
    value = values[node]
    return value if isinstance(value, Tensor) else None


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """The node and all that it is computed from."""
    seen = {node}
    pending = [node]
    while pending:
        more = [each for each in pending.pop().all_input_nodes if each not in seen]
        seen.update(more)
        pending.extend(more)
    return seen


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
