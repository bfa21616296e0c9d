"""What a training process holds resident because of the step, part by part. Bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import fx

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
    """Most pages of the weights file that are resident at a time."""
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

    def with_program(self, target: Target, arena: int, operations: int) -> Footprint:
        """Of the same graph planned otherwise."""
        return replace(self, arena=arena, runtime=_runtime_bytes(target, operations))


def footprint_of(graph: TrainGraph, target: Target, optimizer: str, arena: int, operations: int) -> Footprint:
    """`arena`: its height; `operations`: kernel calls of the program."""
    adapter = sum(_bytes(node) for node, role in graph.inputs() if isinstance(role, Adapter))
    return Footprint(
        arena=arena,
        adapter=adapter,
        gradients=adapter if target.gradients_in_state else 0,
        optimizer=adapter * target.state_tensors[optimizer],
        saving=int(adapter * target.checkpoint_copies),
        weights=_resident_weights(graph, target),
        runtime=_runtime_bytes(target, operations),
    )


def _runtime_bytes(target: Target, operations: int) -> int:
    return target.runtime_bytes + target.runtime_bytes_per_op * operations


def _resident_weights(graph: TrainGraph, target: Target) -> int:
    """Weights that stay resident once read, and the most that one operation adds to them."""
    staying = most = 0
    for node, role in graph.inputs():
        if not isinstance(role, Frozen | Quantized | Constant):
            continue
        if all(_gives_back(user, target) for user in node.users):
            continue
        staying += _bytes(node)
    for node in graph.operations():
        if _gives_back(node, target):
            rows = target.gives_weights_back[node.target._opname]  # type: ignore[union-attr]
            parts = [n for n in node.all_input_nodes if isinstance(graph.roles.get(n.name), Quantized)]
            most = max(most, sum(_bytes(part, rows) for part in parts))
    return staying + most


def _gives_back(node: fx.Node, target: Target) -> bool:
    operator = node.target
    return (
        isinstance(operator, torch._ops.OpOverload)
        and operator.namespace == "lowpeak"
        and operator._opname in target.gives_weights_back
    )


def _bytes(node: fx.Node, rows: int | None = None) -> int:
    """Of the node's tensor, or of so many rows of it."""
    value = node.meta["val"]
    shape = value.shape if rows is None else (min(rows, value.shape[0]), *value.shape[1:])
    nbytes: int = math.prod(shape) * value.element_size()
    return nbytes
