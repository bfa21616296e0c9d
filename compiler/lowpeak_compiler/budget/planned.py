"""The compiled step: a graph in its final order and the place of every tensor in the arena."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from lowpeak_artifact.batch_input import BatchInput
from lowpeak_compiler.budget.program_view import ProgramView
from lowpeak_compiler.budget.targets import Target
from lowpeak_compiler.ir.graph import Adapter, Batch, State, TrainGraph, tensors_of
from lowpeak_compiler.plan.liveness import live_ranges, memory_problem
from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.place.problem import MemoryProblem, MemorySolution

FILE_ALIGNMENT = 64


@dataclass(frozen=True)
class PlannedStep:
    """`problem` and `solution` are the arena; `buffer_of[value]` is the index of its buffer,
    -1 if it needs none.

    `file_offsets`: adapter and state inputs by node and other values by index that lie outside of it, in a
    mapped file.
    """

    graph: TrainGraph
    view: ProgramView
    problem: MemoryProblem
    solution: MemorySolution
    buffer_of: tuple[int, ...]
    file_offsets: dict[str | int, int]
    file_bytes: int

    @property
    def inputs(self) -> list[BatchInput]:
        """What the step takes, in order."""
        return [
            BatchInput(role.name, list(value.shape), str(value.dtype).removeprefix("torch."), role.ids)
            for node, role in self.graph.inputs()
            for value in (node.meta["val"],)
            if isinstance(role, Batch)
        ]

    @property
    def arena_bytes(self) -> int:
        return self.solution.height

    def offset(self, node: fx.Node, index: int = 0) -> int | None:
        """Arena offset in bytes of a tensor of the node; None if it lies elsewhere."""
        location = self.view.locations[node.name][index]
        if location.value is None or location.value in self.view.outside:
            return None
        buffer = self.buffer_of[location.value]
        return 0 if buffer < 0 else self.solution.offsets[buffer] + location.offset

    def file_offset(self, node: fx.Node, index: int = 0) -> int | None:
        """Offset in bytes of a tensor of the node in the mapped file; None if it lies elsewhere."""
        location = self.view.locations[node.name][index]
        key = location.frozen if location.value is None else location.value
        start = self.file_offsets.get(key) if key is not None else None
        return None if start is None else start + location.offset


def place(graph: TrainGraph, view: ProgramView, target: Target, capacity: int | None = None) -> PlannedStep:
    """Solves and validates the arena for the graph in its present order;
    an arena of `capacity` bytes is good enough.
    """
    problem, buffer_of = memory_problem(view.program, target.alignment)
    offsets, end = _in_file(graph, view)
    return PlannedStep(graph, view, problem, solve(problem, capacity=capacity), buffer_of, offsets, end)


def _in_file(graph: TrainGraph, view: ProgramView) -> tuple[dict[str | int, int], int]:
    """Adapters, gradients and state that the arena does not have, one after the other; a sum is where it
    began."""
    offsets: dict[str | int, int] = {}
    end = 0
    sums = live_ranges(view.program).buffer
    for node in graph.graph.nodes:
        if node.op == "output":
            continue
        for location, tensor in zip(view.locations[node.name], tensors_of(node), strict=True):
            key: str | int | None = location.value
            if location.value is None and isinstance(graph.roles.get(node.name), Adapter | State):
                key = node.name
            elif location.value not in view.outside:
                continue
            start = sums[key] if isinstance(key, int) else key
            assert key is not None and start is not None
            if start not in offsets:
                offsets[start] = end
                nbytes = tensor.numel() * tensor.element_size()
                end += -(-nbytes // FILE_ALIGNMENT) * FILE_ALIGNMENT
            offsets[key] = offsets[start]
    return offsets, end
