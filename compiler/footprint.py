"""What a training process holds resident because of the step, part by part. Bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compiler.graph import Adapter, Constant, Frozen, Quantized, TrainGraph
from compiler.targets import Target


@dataclass(frozen=True)
class Footprint:
    """`weights` are mapped pages, all else is anonymous memory."""

    arena: int
    """Activations, adapter and, unless the target has buffers for them, gradients."""
    adapter: int
    """The part of the arena that outlives the step."""
    gradients: int
    """Buffers that gradients are added to."""
    optimizer: int
    saving: int
    """What writing a checkpoint takes, between two steps, when the rest of the arena is free."""
    weights: int
    runtime: int

    @property
    def beside_arena(self) -> int:
        """What is held throughout."""
        return self.gradients + self.optimizer + self.weights + self.runtime

    @property
    def anonymous(self) -> int:
        return self.total - self.weights

    @property
    def total(self) -> int:
        return self.beside_arena + max(self.arena, self.adapter + self.saving)


def footprint_of(graph: TrainGraph, target: Target, optimizer: str, arena: int, operations: int) -> Footprint:
    """`arena`: its height; `operations`: kernel calls of the program."""
    adapter = weights = 0
    for node, role in graph.inputs():
        value = node.meta["val"]
        nbytes = math.prod(value.shape) * value.element_size()
        if isinstance(role, Adapter):
            adapter += nbytes
        elif isinstance(role, Frozen | Quantized | Constant):
            weights += nbytes
    return Footprint(
        arena=arena,
        adapter=adapter,
        gradients=adapter if target.gradients_in_state else 0,
        optimizer=adapter * target.state_tensors[optimizer],
        saving=int(adapter * target.checkpoint_copies),
        weights=weights,
        runtime=target.runtime_bytes + target.runtime_bytes_per_op * operations,
    )
