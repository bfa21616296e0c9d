"""What a training process holds resident because of the step, part by part. Bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compiler.graph import Adapter, Constant, Frozen, Quantized, TrainGraph
from compiler.targets import Target

STATE_TENSORS = {"adamw": 2, "sgd": 0}
"""Tensors of optimizer state for each trainable tensor."""


@dataclass(frozen=True)
class Footprint:
    """`arena` holds activations, adapter and gradients; `weights` are mapped pages,
    all else is anonymous memory.
    """

    arena: int
    optimizer: int
    weights: int
    runtime: int

    @property
    def anonymous(self) -> int:
        return self.arena + self.optimizer + self.runtime

    @property
    def total(self) -> int:
        return self.anonymous + self.weights


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
    runtime = target.runtime_bytes + target.runtime_bytes_per_op * operations
    return Footprint(arena, adapter * STATE_TENSORS[optimizer], weights, runtime)
