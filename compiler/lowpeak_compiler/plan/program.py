"""The planner's view of a training step: values with sizes, operations that read and write them, an order.

Views are resolved beforehand: a value is a block of memory, and an operation reads and writes whole values.
Frozen weights are not values; they stay in their file. Every value is written by exactly one operation, or is
an input of the step.

Input: none; the budget room builds programs from graphs. Output: immutable programs.
Invariant: reordering a program changes nothing but `Uses.step`.
What it does not do: check that an order respects dependences.
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
    """What an operation asks of the disk, which works while the processor computes."""

    WRITE = "write"
    """Starts writing a value."""
    READ = "read"
    """Starts reading a value."""
    WAIT = "wait"
    """Waits until its operand has been read."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation; `reads` and `writes` are indices into `Program.values`, `seconds` is processor time."""

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
    """Name of the operation that this one recomputes."""
    tile_of: str | None = None
    """The same for all tiles of one operation; the planner decides about them together."""
    io: Io | None = None
    disk_seconds: float = 0.0
    """Disk time of a WRITE or READ."""


@dataclass(frozen=True)
class Uses:
    """Definitions and uses as arrays: `step[i]` of operation i; (operation, value) of every write and of
    every read; (operation, written, read) of every pair that may share memory, in the order of the
    operations.
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
        """After a permutation; `order` holds the steps of before."""
        step = np.empty(len(order), dtype=np.int64)
        step[order] = np.arange(len(order))
        return replace(self, step=step[self.step])


def _table(rows: Iterable[tuple[int, ...]], width: int) -> Ints:
    """Rows of integers as an array of columns."""
    table: Ints = np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(-1, width).T
    return table


@dataclass(frozen=True)
class Program:
    """Operations in execution order. `results` (loss and gradients) are live until the end, except for those
    `taken`: the operation that defines them accumulates them into memory outside of the program.
    """

    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    results: frozenset[int]
    taken: frozenset[int] = frozenset()

    @property
    def kept(self) -> frozenset[int]:
        """Results that are live until the end."""
        return self.results - self.taken

    @cached_property
    def uses(self) -> Uses:
        """Definitions and uses of all values."""
        return Uses.of(self.ops)

    @cached_property
    def nbytes(self) -> Ints:
        """Size of every value."""
        return np.array([value.nbytes for value in self.values], dtype=np.int64)

    def reordered(self, order: list[int]) -> Program:
        """The same operations in another order, which holds their indices of before."""
        assert sorted(order) == list(range(len(self.ops)))
        program = replace(self, ops=tuple(self.ops[i] for i in order))
        # These hold in any order, and are slow to compute.
        vars(program).update(uses=self.uses.reordered(order), nbytes=self.nbytes)
        return program
