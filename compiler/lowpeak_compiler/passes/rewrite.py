"""Building blocks of a rewrite: the operands of a node by name, and new nodes in the place of an old one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

import lowpeak_artifact.ops  # noqa: F401  registers the operators that passes insert
from lowpeak_artifact.errors import told_as_model_error
from lowpeak_compiler.ir.graph import Constant, TrainGraph, operator_name, place_of, tensors_of
from lowpeak_compiler.ir.nodes import infer

Rule = Callable[[TrainGraph, fx.Node], bool]
"""Rewrites one node if its pattern is there; says whether it did."""


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
