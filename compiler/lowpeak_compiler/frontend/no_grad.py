"""`torch.no_grad()` in a forward -> its operators where they stand, each without a gradient.

    wrap_with_set_grad_enabled(False, body, x)      y = tanh(x)
    body: return tanh(x)                            y = detach(y)

torch.export puts such a part into a graph of its own, and its decompositions put it back with gradients.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.ir.graph import changes_operand, operator_name, place_of

aten = torch.ops.aten
NO_GRAD = "no_grad"
"""Marks, in the meta of a node, what stood within torch.no_grad()."""
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


def detach_out_of_place(graph: fx.Graph) -> None:
    """`detach_` -> detach, whose result stands for the tensor in all that comes after."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.target is aten.detach_.default:
            node.target = aten.detach.default
            node.args[0].replace_all_uses_with(
                node, delete_user_cb=lambda user, node=node: places[user] > places[node]
            )


def require_no_writes_to_detached(graph: fx.Graph, learned: Collection[fx.Node]) -> None:
    """Raises UnsupportedOperator where something with a gradient is written into a tensor without: for
    torch.export's decompositions detach is a view, and what was written would lose its gradient.
    """
    with_gradient = set(learned)
    for node in graph.nodes:
        if node.op != "call_function" or node.meta.get(NO_GRAD) or node.target is aten.detach.default:
            continue
        if not with_gradient.intersection(node.all_input_nodes):
            continue
        with_gradient.add(node)
        written = node
        while changes_operand(node) and _is_view(written) and written.target is not aten.detach.default:
            written = written.args[0]
            with_gradient.add(written)
        if written is not node and written.target is aten.detach.default:
            raise UnsupportedOperator(
                f"{operator_name(node)} in {place_of(node)!r} writes a value with a gradient into a tensor "
                "without one (of torch.no_grad() or detach()), which lowpeak cannot differentiate: make the "
                "tensor outside of it, or a new one",
                operator=operator_name(node),
            )


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
        copies[node].meta[NO_GRAD] = not enabled
        if not enabled and isinstance(node.meta.get("val"), Tensor):
            detached = graph.call_function(aten.detach.default, (copies[node],))
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
