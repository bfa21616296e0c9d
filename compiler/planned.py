"""The compiled step: a graph in its final order and the place of every tensor in the arena."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from compiler.graph import TrainGraph
from compiler.plan.liveness import memory_problem
from compiler.plan.memory import solve
from compiler.plan.problem import MemoryProblem, MemorySolution
from compiler.planning import PlanView
from compiler.targets import Target


@dataclass(frozen=True)
class PlannedStep:
    """`problem` and `solution` are the arena; `buffer_of[value]` is the index of its buffer,
    -1 if it needs none.
    """

    graph: TrainGraph
    view: PlanView
    problem: MemoryProblem
    solution: MemorySolution
    buffer_of: tuple[int, ...]

    @property
    def arena_bytes(self) -> int:
        return self.solution.height

    def offset(self, node: fx.Node, index: int = 0) -> int | None:
        """Arena offset in bytes of a tensor of the node; None if it lies in a frozen tensor."""
        location = self.view.locations[node.name][index]
        if location.value is None:
            return None
        buffer = self.buffer_of[location.value]
        return 0 if buffer < 0 else self.solution.offsets[buffer] + location.offset


def place(graph: TrainGraph, view: PlanView, target: Target, capacity: int | None = None) -> PlannedStep:
    """Solves and validates the arena for the graph in its present order;
    an arena of `capacity` bytes is good enough.
    """
    problem, buffer_of = memory_problem(view.program, target.alignment)
    return PlannedStep(graph, view, problem, solve(problem, capacity=capacity), buffer_of)
