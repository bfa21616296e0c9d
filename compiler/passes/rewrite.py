"""Building blocks of a rewrite: the operands of a node by name, and new nodes in the place of an old one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves, tree_map_only

from compiler.graph import Constant, TrainGraph, tensors_of

Rule = Callable[[TrainGraph, fx.Node], bool]
"""Rewrites one node if its pattern is there; says whether it did."""


def operands(node: fx.Node) -> dict[str, Any]:
    """Every argument of a call by its schema name, defaults filled in."""
    given = dict(node.kwargs)
    for position, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if position < len(node.args):
            given[argument.name] = node.args[position]
        else:
            given.setdefault(argument.name, argument.default_value)
    return given


def shape_of(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def dense(value: Any) -> Any:
    """The value as the graph means it: every tensor contiguous in its logical order."""
    return tree_map_only(Tensor, lambda t: t if t.is_contiguous() else t.new_empty(t.shape), value)


class Rewriter:
    """Inserts nodes before `node`; their values are inferred, their place in the model is the node's."""

    def __init__(self, graph: TrainGraph, node: fx.Node) -> None:
        self.graph = graph
        self.node = node

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        with self.graph.graph.inserting_before(self.node):
            new = self.graph.graph.call_function(target, args, kwargs)
        new.meta["val"] = infer(new)
        for key in ("nn_module_stack",):
            if key in self.node.meta:
                new.meta[key] = self.node.meta[key]
        return new

    def constant(self, name: str, value: Tensor) -> fx.Node:
        """A placeholder for a small tensor; the same name means the same value."""
        mode = next(t for n, _ in self.graph.inputs() for t in tensors_of(n)).fake_mode  # type: ignore[attr-defined]
        return self.graph.add_input(Constant(name, value), mode.from_tensor(value, static_shapes=True), name)

    def replace_with(self, new: fx.Node) -> bool:
        self.node.replace_all_uses_with(new)
        self.graph.graph.erase_node(self.node)
        return True


def infer(node: fx.Node) -> Any:
    """The fake value of a node from those of its operands."""
    args, kwargs = tree_map_only(fx.Node, lambda n: n.meta["val"], (node.args, node.kwargs))
    mode = next((t.fake_mode for t in tree_leaves((args, kwargs)) if hasattr(t, "fake_mode")), None)
    if mode is None:
        raise AssertionError(f"{node.format_node()} has no fake operand; create constants through add_input")
    with mode, torch.no_grad():
        return dense(node.target(*args, **kwargs))  # type: ignore[operator]


def rewrite(graph: TrainGraph, table: dict[Any, tuple[Rule, ...]]) -> int:
    """Applies the rules of each node's operator until none applies any more."""
    total = 0
    while True:
        count = 0
        for node in graph.operations():
            count += any(rule(graph, node) for rule in table.get(node.target, ()))
        graph.graph.eliminate_dead_code()
        total += count
        if not count:
            return total
