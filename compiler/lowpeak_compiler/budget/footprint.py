"""What a training process holds resident because of the step, part by part. Bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import fx

from lowpeak_compiler.budget.targets import MAPPED_AROUND_BYTES, Target
from lowpeak_compiler.ir.graph import Adapter, Batch, Constant, Frozen, Quantized, TrainGraph
from lowpeak_compiler.ir.op_table import VIEWS, workspace
from lowpeak_compiler.plan.measure import Memory

WEIGHTS = (Frozen, Quantized, Constant)
FRAGMENTATION = 2
"""Thousandths of the arena that the offsets may waste; more is refused."""


def with_gaps(nbytes: int) -> int:
    """Bytes of an arena for values that take `nbytes` at their peak."""
    return -(-nbytes * (1000 + FRAGMENTATION) // 1000)


def without_gaps(nbytes: int) -> int:
    """The most bytes of values for which `with_gaps` are at most `nbytes`."""
    return nbytes * 1000 // (1000 + FRAGMENTATION)


@dataclass(frozen=True)
class Footprint:
    """`weights` and `code` are mapped pages; all else is anonymous memory, or pages of written files."""

    arena: int
    """Activations and, unless the target has other places for them, adapter and gradients."""
    adapter: int
    """The part of the arena that outlives the step."""
    gradients: int
    """Those outside of the arena: buffers that they are added to, or the pages in use of a file."""
    optimizer: int
    """Its state, or the most pages of state, adapter and gradients that are in use at a time."""
    saving: int
    """What writing a checkpoint takes, between two steps, when the rest of the arena is free."""
    weights: int
    """Most pages of the weights file, and of the adapter's where it has one, that are resident at a time."""
    runtime: int
    """Its own memory for the program, the kernels' scratch, and the batch that is trained on."""
    attention: int
    """The part of it that attention's backward takes beyond the scratch that every graph is given."""
    batch: int
    """The part of it that the graph's inputs take, which are read into memory of their own."""
    code: int
    """Pages of the runtime's libraries and of the program's file."""

    @property
    def beside_arena(self) -> int:
        """What is held throughout."""
        return self.gradients + self.optimizer + self.weights + self.runtime + self.code

    @property
    def anonymous(self) -> int:
        return self.total - self.weights - self.code

    @property
    def total(self) -> int:
        return self.beside_arena + max(self.arena, self.adapter + self.saving)

    def with_program(self, target: Target, arena: int, operations: int) -> Footprint:
        """Of the same graph planned otherwise."""
        return replace(
            self,
            arena=arena,
            runtime=runtime_bytes(target, operations) + self.attention + self.batch,
            code=code_bytes(target, operations),
        )


def planners_memory(graph: TrainGraph, target: Target) -> Memory:
    """What the planner counts beside live values, in bytes of these."""
    adapter = 0 if target.pages else sum(adapter_bytes(graph))
    share = 1 + FRAGMENTATION / 1000
    per_op = target.runtime_bytes_per_op + target.code_bytes_per_op
    least_arena = adapter + int(adapter * target.checkpoint_copies)
    return Memory(target.alignment, per_op / share, math.ceil(least_arena / share))


def adapter_bytes(graph: TrainGraph) -> list[int]:
    """Of every trainable tensor."""
    return [bytes_of(node) for node, role in graph.inputs() if isinstance(role, Adapter)]


def footprint_of(graph: TrainGraph, target: Target, optimizer: str, arena: int, operations: int) -> Footprint:
    """`arena`: its height; `operations`: kernel calls of the program."""
    sizes = adapter_bytes(graph)
    adapter, largest, states = sum(sizes), max(sizes, default=0), target.state_tensors[optimizer]
    if target.pages:
        adapter, gradients, state = 0, largest, (2 + states) * largest
    else:
        gradients, state = adapter if target.gradients_in_state else 0, states * adapter
    most = max(map(workspace, graph.operations()), default=0)
    attention = max(0, most - target.attention_scratch_bytes)
    batch = sum(bytes_of(node) for node, role in graph.inputs() if isinstance(role, Batch))
    return Footprint(
        arena=arena,
        adapter=adapter,
        gradients=gradients,
        optimizer=state,
        saving=int(adapter * target.checkpoint_copies),
        weights=_resident_weights(graph, target),
        runtime=runtime_bytes(target, operations) + attention + batch,
        attention=attention,
        batch=batch,
        code=code_bytes(target, operations),
    )


def runtime_bytes(target: Target, operations: int) -> int:
    return target.runtime_bytes + target.runtime_bytes_per_op * operations


def code_bytes(target: Target, operations: int) -> int:
    return target.code_bytes + target.code_bytes_per_op * operations


def _resident_weights(graph: TrainGraph, target: Target) -> int:
    """All frozen tensors; where pages are given back, the most that an operation uses, of adapters too."""
    kinds = (*WEIGHTS, Adapter) if target.pages else WEIGHTS
    everything = sum(bytes_of(node) for node, role in graph.inputs() if isinstance(role, kinds))
    if not target.pages:
        return everything
    most = 0
    for node in graph.operations():
        rows = target.rows_at_a_time.get(node.target)
        inputs = {source_of(operand) for operand in node.all_input_nodes}
        mapped = [i for i in inputs if isinstance(graph.roles.get(i.name), kinds)]
        most = max(most, sum(bytes_of(each, rows) for each in mapped))
    return min(everything, most + MAPPED_AROUND_BYTES)


def source_of(node: fx.Node) -> fx.Node:
    """What a view is a view of."""
    while node.target in VIEWS:
        (node, *_) = node.all_input_nodes
    return node


def bytes_of(node: fx.Node, rows: int | None = None) -> int:
    """Of the node's tensor, or of so many rows of it."""
    value = node.meta["val"]
    shape = value.shape if rows is None else (min(rows, value.shape[0]), *value.shape[1:])
    nbytes: int = math.prod(shape) * value.element_size()
    return nbytes
