"""`torch.no_grad()` in a forward -> its operators where they stand, each without a gradient.

    wrap_with_set_grad_enabled(False, body, x)      y = tanh(x)
    body: return tanh(x)                            y = detach(y)

torch.export puts such a part into a graph of its own, and its decompositions put it back with gradients.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

from compiler.errors import UnsupportedOperator
from compiler.graph import changes_operand, operator_name, place_of

SET_GRAD_ENABLED = torch.ops.higher_order.wrap_with_set_grad_enabled


def inline_no_grad(module: fx.GraphModule) -> None:
    """In place. Raises UnsupportedOperator where such a part writes into a tensor from outside."""
    for node in list(module.graph.nodes):
        if node.target is not SET_GRAD_ENABLED:
            continue
        enabled, body, *operands = node.args
        with module.graph.inserting_before(node):
            results = _inlined(module.graph, module.get_submodule(body.target), operands, enabled)
        for user in list(node.users):
            assert user.target is operator.getitem
            user.replace_all_uses_with(results[user.args[1]])
            module.graph.erase_node(user)
        module.graph.erase_node(node)
        module.graph.erase_node(body)


def _inlined(graph: fx.Graph, body: Any, operands: list[Any], enabled: bool) -> tuple[Any, ...]:
    """Writes the body's operators into `graph`, where it is being written -> the body's results there."""
    values = iter(operands)
    copies: dict[fx.Node, Any] = {}
    for node in body.graph.nodes:
        if node.op == "output":
            return tuple(fx.map_arg(node.args[0], copies.__getitem__))
        if node.op == "placeholder":
            copies[node] = next(values)
            continue
        if not enabled:
            _require_own(node)
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if not enabled and isinstance(node.meta.get("val"), Tensor):
            detached = graph.call_function(torch.ops.aten.detach.default, (copies[node],))
            detached.meta = copies[node].meta.copy()
            copies[node] = detached
    raise AssertionError("a graph without an output")


def _require_own(node: fx.Node) -> None:
    """Raises UnsupportedOperator for a part within, and for what writes into a tensor from outside."""
    written = node
    while isinstance(written, fx.Node) and changes_operand(node) and _is_view(written):
        written = written.args[0]  # type: ignore[assignment]
    if node.target is SET_GRAD_ENABLED or (written is not node and written.op == "placeholder"):
        raise UnsupportedOperator(
            f"{operator_name(node)} in {place_of(node)!r} changes a tensor within torch.no_grad(), which "
            "lowpeak cannot differentiate: make a new tensor of it",
            operator=operator_name(node),
        )


def _is_view(node: fx.Node) -> bool:
    """Whether the result lies in the memory of the first operand."""
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and bool(target._schema.arguments)
        and target._schema.arguments[0].alias_info is not None
    )
