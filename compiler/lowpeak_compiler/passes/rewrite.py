"""Building blocks of a rewrite: the operands of a node by name, and new nodes in the place of an old one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves, tree_map_only

import lowpeak_compiler.ops  # noqa: F401  registers the operators that passes insert
from lowpeak_compiler.errors import told_as_model_error
from lowpeak_compiler.graph import Constant, TrainGraph, operator_name, place_of, tensors_of

Rule = Callable[[TrainGraph, fx.Node], bool]
"""Rewrites one node if its pattern is there; says whether it did."""


def operands(node: fx.Node) -> dict[str, Any]:
    """Every argument of a call by its schema name and in its order, defaults filled in."""
    given: dict[str, Any] = {}
    for position, argument in enumerate(node.target._schema.arguments):
        if position < len(node.args):
            given[argument.name] = node.args[position]
        else:
            given[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return given


def shape_of(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def dtype_of(node: fx.Node) -> torch.dtype:
    dtype: torch.dtype = node.meta["val"].dtype
    return dtype


def dense(value: Any) -> Any:
    """The value as the graph means it: every tensor contiguous in its logical order."""
    if isinstance(value, Tensor):
        return value if value.is_contiguous() else value.new_empty(value.shape)
    return tree_map_only(Tensor, dense, value)


class Rewriter:
    """Inserts nodes before `node`; their values are inferred, their place in the model is the node's."""

    def __init__(self, graph: TrainGraph, node: fx.Node) -> None:
        self.graph = graph
        self.node = node

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        with self.graph.graph.inserting_before(self.node):
            new = self.graph.graph.call_function(target, args, kwargs)
        new.meta["val"] = infer(self.graph, new)
        if "nn_module_stack" in self.node.meta:
            new.meta["nn_module_stack"] = self.node.meta["nn_module_stack"]
        return new

    def constant(self, name: str, value: Tensor) -> fx.Node:
        """A placeholder for a small tensor; the same name means the same value."""
        mode = next(t for n, _ in self.graph.inputs() for t in tensors_of(n)).fake_mode  # type: ignore[attr-defined]
        return self.graph.add_input(Constant(name, value), mode.from_tensor(value, static_shapes=True), name)

    def replace_with(self, new: fx.Node) -> bool:
        self.node.replace_all_uses_with(new)
        self.graph.graph.erase_node(self.node)
        return True


def infer(graph: TrainGraph, node: fx.Node) -> Any:
    """The fake value of a node from those of its operands; nodes of one kind share one value."""
    key = (node.target, _signature(node.args), *((name, _signature(v)) for name, v in node.kwargs.items()))
    if key not in graph.inferred:
        args, kwargs = tree_map_only(fx.Node, lambda n: dense(n.meta["val"]), (node.args, node.kwargs))
        mode = next((t.fake_mode for t in tree_leaves((args, kwargs)) if hasattr(t, "fake_mode")), None)
        if mode is None:
            raise AssertionError(
                f"{node.format_node()} has no fake operand; create constants through add_input"
            )
        with mode, torch.no_grad():
            # What was added to the graph at another time is of another mode.
            args, kwargs = tree_map_only(
                Tensor,
                lambda t: t if getattr(t, "fake_mode", None) is mode else torch.empty(t.shape, dtype=t.dtype),
                (args, kwargs),
            )
            graph.inferred[key] = dense(node.target(*args, **kwargs))
    return graph.inferred[key]


def _signature(argument: Any) -> object:
    """What of an argument decides shape and type of the result: equal for arguments that give equal ones."""
    if isinstance(argument, fx.Node):
        return tuple((t.shape, t.dtype) for t in tensors_of(argument))
    if isinstance(argument, list | tuple):
        return tuple(map(_signature, argument))
    # 1, 1.0 and True are equal, but not their types.
    return type(argument), argument


def rewrite(graph: TrainGraph, table: dict[Any, tuple[Rule, ...]]) -> int:
    """Applies the rules of each node's operator until none applies any more."""
    total = 0
    while True:
        count = 0
        for node in graph.operations():
            if node.target not in table:
                continue
            where = f"the rules for {operator_name(node)} in {place_of(node)!r} failed"
            with told_as_model_error(where):
                count += any(rule(graph, node) for rule in table[node.target])
        graph.graph.eliminate_dead_code()
        total += count
        if not count:
            return total
