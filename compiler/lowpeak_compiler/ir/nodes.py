"""What a node of a graph says of itself: its operands by name, shape, dtype, and what it would return."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves, tree_map_only

import lowpeak_artifact.ops  # noqa: F401  registers the operators that passes insert
from lowpeak_compiler.ir.graph import Adapter, TrainGraph, tensors_of


@functools.cache
def _arguments(target: object) -> dict[str, tuple[int, Any]]:
    """Position and default of the operator's arguments by name."""
    assert isinstance(target, OpOverload)
    return {a.name: (place, a.default_value) for place, a in enumerate(target._schema.arguments)}


def argument(node: fx.Node, name: str) -> Any:
    """An argument of a call by its schema name; its default if the call has none."""
    position, default = _arguments(node.target)[name]
    return node.args[position] if position < len(node.args) else node.kwargs.get(name, default)


def operands(node: fx.Node) -> dict[str, Any]:
    """Every argument of a call by its schema name and in its order, defaults filled in."""
    return {name: argument(node, name) for name in _arguments(node.target)}


def operand(node: fx.Node, position: int = 0) -> fx.Node:
    """An argument that is a node."""
    value = node.args[position]
    assert isinstance(value, fx.Node), f"argument {position} of {node.format_node()} is no node"
    return value


def call_args(node: fx.Node) -> tuple[Any, ...]:
    """The positional arguments, in place of the union of all that fx may have as one."""
    return node.args


def function_of(node: fx.Node) -> Callable[..., Any]:
    """What the node calls."""
    assert callable(node.target), f"{node.format_node()} calls nothing"
    return node.target


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
            graph.inferred[key] = dense(function_of(node)(*args, **kwargs))
    return graph.inferred[key]


def _signature(argument: Any) -> object:
    """What of an argument decides shape and type of the result: equal for arguments that give equal ones."""
    if isinstance(argument, fx.Node):
        return tuple((t.shape, t.dtype) for t in tensors_of(argument))
    if isinstance(argument, list | tuple):
        return tuple(map(_signature, argument))
    # 1, 1.0 and True are equal, but not their types.
    return type(argument), argument


def depends_on_adapter(graph: TrainGraph, node: fx.Node) -> bool:
    if node.op == "placeholder":
        return isinstance(graph.roles[node.name], Adapter)
    return any(depends_on_adapter(graph, operand) for operand in node.all_input_nodes)
