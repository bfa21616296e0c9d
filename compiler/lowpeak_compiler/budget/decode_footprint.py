"""What a process holds resident because it generates, part by part, and which weights stay. Bytes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lowpeak_compiler.budget.footprint import WEIGHTS, bytes_of, code_bytes, runtime_bytes, source_of
from lowpeak_compiler.budget.targets import MAPPED_AROUND_BYTES, Target
from lowpeak_compiler.ir.graph import Adapter, State, TrainGraph


@dataclass(frozen=True)
class DecodeFootprint:
    """`weights` and `code` are mapped pages; all else is anonymous memory."""

    arena: int
    """Activations of one call."""
    state: int
    """Adapter and caches."""
    weights: int
    """Those that stay, and the most of the others that an operation uses."""
    runtime: int
    """Its own memory for the program, the kernels' scratch, and the tokenizer's."""
    code: int

    @property
    def anonymous(self) -> int:
        return self.arena + self.state + self.runtime

    @property
    def total(self) -> int:
        return self.anonymous + self.weights + self.code


@dataclass(frozen=True)
class WeightUse:
    """`sizes`: bytes of every weight by the name of its input; `together`: those that an operation reads."""

    sizes: dict[str, int]
    together: frozenset[frozenset[str]]

    def held(self, resident: Collection[str]) -> int:
        """The most that is resident at a time, if `resident` stay and others pass."""
        staying = sum(self.sizes[name] for name in resident)
        passing = max(
            (sum(self.sizes[n] for n in read if n not in resident) for read in self.together), default=0
        )
        if not passing:
            return staying
        return min(sum(self.sizes.values()), staying + passing + MAPPED_AROUND_BYTES)

    def staying(self, room: int) -> frozenset[str]:
        """As many weights as there is room for, the small ones first: each costs the same calls."""
        order = sorted(self.sizes, key=lambda name: (self.sizes[name], name))
        low, high = 0, len(order)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.held(frozenset(order[:middle])) <= room else (low, middle - 1)
        return frozenset(order[:low])


def weight_use(graphs: Sequence[TrainGraph]) -> WeightUse:
    """Of graphs that read the same weights, the first of them all."""
    sizes = {node.name: bytes_of(node) for node, role in graphs[0].inputs() if isinstance(role, WEIGHTS)}
    together = set()
    for graph in graphs:
        for node in graph.operations():
            read = {source_of(operand).name for operand in node.all_input_nodes}
            together.add(frozenset(read & sizes.keys()))
    return WeightUse(sizes, frozenset(together))


def footprint_of(
    graphs: Sequence[TrainGraph], target: Target, arena: int, state: int, weights: int, beside: int
) -> DecodeFootprint:
    """Of graphs that are loaded together; `beside`: the tokenizer's bytes."""
    operations = sum(len(graph.operations()) for graph in graphs)
    runtime = runtime_bytes(target, operations) + beside
    return DecodeFootprint(arena, state, weights, runtime, code_bytes(target, operations))


def state_bytes(graph: TrainGraph) -> int:
    return sum(bytes_of(node) for node, role in graph.inputs() if isinstance(role, Adapter | State))
