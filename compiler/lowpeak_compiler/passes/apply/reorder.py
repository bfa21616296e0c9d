"""Puts the nodes into the order of a plan. Views follow directly before their first reader."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.properties import LOWERED, ORDERED
from lowpeak_compiler.passes.stage import Pass


@dataclass(frozen=True)
class Reorder(Pass):
    """Puts the operations into the plan's order.

    `order`: names of all nodes that are operations on the target, in the order to be had.
    """

    requires = frozenset({LOWERED})
    ensures = frozenset({ORDERED})

    order: tuple[str, ...]

    def run(self, graph: TrainGraph) -> int:
        by_name = {node.name: node for node in graph.operations()}
        placed: set[fx.Node] = {node for node, _ in graph.inputs()}
        output = graph.output
        for wanted in (*(by_name[name] for name in self.order), *graph.results):
            pending = [wanted]
            while pending:
                node = pending[-1]
                missing = [operand for operand in node.all_input_nodes if operand not in placed]
                if missing and node not in placed:
                    pending.extend(reversed(missing))
                    continue
                pending.pop()
                if node not in placed:
                    output.prepend(node)
                    placed.add(node)
        return len(self.order)

    def violation(self, graph: TrainGraph) -> str | None:
        wanted = set(self.order)
        order = (node.name for node in graph.operations() if node.name in wanted)
        for node, planned in zip(order, self.order, strict=True):
            if node != planned:
                return f"{node} is where the plan has {planned}"
        return None
