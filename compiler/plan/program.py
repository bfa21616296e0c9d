"""What the planner sees of a training step: values with sizes, operations that read and write them, an order.

Views are resolved before: a value is a piece of memory, and an operation reads and writes whole values.
Frozen weights are no values; they lie in their file. Every value is written by one operation, or comes in
from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Why a value is in memory; also the categories of the memory timeline."""

    BATCH = "batch"
    ADAPTER = "adapter"
    GRADIENT = "gradient"
    LOSS = "loss"
    WEIGHT = "dequantized weight"
    ACTIVATION = "activation"


@dataclass(frozen=True, slots=True)
class Value:
    """`nbytes` of memory. BATCH and ADAPTER values exist before the first operation."""

    name: str
    nbytes: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: indices into `Program.values`."""

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    seconds: float
    forward: bool
    """Whether the loss depends on it; such an operation can be run again in the backward."""
    in_place: tuple[int, ...] = ()
    """Values among `reads` whose memory the only written value may take over, if this is their last use."""
    copy_of: str | None = None
    """Name of the operation that this one runs again."""


@dataclass(frozen=True)
class Program:
    """Operations in execution order. `results` (loss and gradients) live until the end."""

    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    results: frozenset[int]

    def reordered(self, order: list[int]) -> Program:
        """The same operations, `order` holding their present indices."""
        assert sorted(order) == list(range(len(self.ops)))
        return Program(self.values, tuple(self.ops[i] for i in order), self.results)

    @property
    def seconds(self) -> float:
        """Predicted time of one step."""
        return sum(op.seconds for op in self.ops)
