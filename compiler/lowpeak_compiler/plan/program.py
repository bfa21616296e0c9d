"""What the planner sees of a training step: values with sizes, operations that read and write them, an order.

Views are resolved before: a value is a piece of memory, and an operation reads and writes whole values.
Frozen weights are no values; they lie in their file. Every value is written by one operation, or comes in
from outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lowpeak_artifact.kind import Kind

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Value:
    """`nbytes` of memory. BATCH and ADAPTER values exist before the first operation."""

    name: str
    nbytes: int
    kind: Kind


class Io(str, Enum):
    """What an operation has to do with the disk, which works beside the processor."""

    WRITE = "write"
    """Hands a value over to be written."""
    READ = "read"
    """Asks for a value to be read."""
    WAIT = "wait"
    """Waits until the value that it reads has been read."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: indices into `Program.values`. `seconds` are the processor's."""

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    seconds: float
    forward: bool
    """Whether the loss depends on it; such an operation can be run again in the backward."""
    in_place: tuple[tuple[int, int], ...] = ()
    """(written, read): the written value may take over the memory of the read one, if this is its last use.
    """
    copy_of: str | None = None
    """Name of the operation that this one runs again."""
    tile_of: str | None = None
    """What the tiles of one operation have in common; the planner decides about them together."""
    io: Io | None = None
    disk_seconds: float = 0.0
    """Of a WRITE or READ: what the disk takes."""


@dataclass(frozen=True)
class Uses:
    """Where values are written and read, as arrays: `step[i]` of operation i; (operation, value) of every
    write and read; (operation, written, read) of every pair that may share memory, in the order of the
    operations.

    An order changes `step` alone.
    """

    step: Ints
    writes: Ints
    reads: Ints
    pairs: Ints

    @staticmethod
    def of(ops: tuple[Op, ...]) -> Uses:
        return Uses(
            np.arange(len(ops)),
            _table(((i, v) for i, op in enumerate(ops) for v in op.writes), 2),
            _table(((i, v) for i, op in enumerate(ops) for v in op.reads), 2),
            _table(((i, w, r) for i, op in enumerate(ops) for w, r in op.in_place), 3),
        )

    def reordered(self, order: list[int]) -> Uses:
        """After a permutation; `order` holds the present steps."""
        moved = np.empty(len(order), dtype=np.int64)
        moved[order] = np.arange(len(order))
        return replace(self, step=moved[self.step])


def _table(rows: Iterable[tuple[int, ...]], width: int) -> Ints:
    """The columns of rows."""
    table: Ints = np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(-1, width).T
    return table


@dataclass(frozen=True)
class Program:
    """Operations in execution order. `results` (loss and gradients) live until the end, but those that are
    `taken`: they are added to memory outside of the program by the operation that makes them.
    """

    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    results: frozenset[int]
    taken: frozenset[int] = frozenset()

    @property
    def kept(self) -> frozenset[int]:
        """Results that live until the end."""
        return self.results - self.taken

    @cached_property
    def uses(self) -> Uses:
        """Where values are written and read."""
        return Uses.of(self.ops)

    @cached_property
    def nbytes(self) -> Ints:
        """Of every value."""
        return np.array([value.nbytes for value in self.values], dtype=np.int64)

    def reordered(self, order: list[int]) -> Program:
        """The same operations, `order` holding their present indices."""
        assert sorted(order) == list(range(len(self.ops)))
        made = replace(self, ops=tuple(self.ops[i] for i in order))
        # What is known of the values and operations stays true in another order, and is slow to gather.
        vars(made).update(uses=self.uses.reordered(order), nbytes=self.nbytes)
        return made
