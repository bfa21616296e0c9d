"""Places buffers of known live ranges in one arena of small height: best-fit in several orders, then search.

Every buffer, in some order, goes to the lowest offset that no placed buffer of an overlapping live range
occupies. Several orders are tried (large, long-lived, or live at the peak first, or the large ones as they
lie best on their own), then the best one is improved squeaky-wheel fashion (Joslin and Clements 1999): a
buffer that sticks out above the target moves ahead of one that it overlaps, and what comes after that one is
placed again. Buffers of equal live ranges are first placed as one block, which makes training steps smaller
and easier.

Input: a `MemoryProblem`. Output: a `MemorySolution` of small height, checked by the validator.
Stages: blocks of equal live ranges; greedy placements in several orders; squeaky-wheel search from the best.
It stops when the height reaches the lower bound.
Invariant: work is bounded in placements, not in seconds, and random choices are seeded, so that a problem
always has the same solution.
What it does not do: prove that a height above the lower bound is the smallest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lowpeak_compiler.plan.place import validate
from lowpeak_compiler.plan.place.problem import Buffer, MemoryProblem, MemorySolution

Ints = NDArray[np.int64]

_FREE = np.iinfo(np.int64).max // 2
"""Where the free space above all placed buffers ends."""
EFFORT = 40_000
PASSES = 40
LARGE = 0.01
"""Share of the lower bound from which a buffer is large: in one order the others are placed around these."""
_ROUNDS = 8
"""Orders among which the effort is shared."""
_PER_BUFFER = 300
"""Placements for each buffer at most, so that tiny problems that cannot reach the bound end at once."""
_FEWER = 0.9
"""Share of buffers left by stacking equal live ranges below which the stacked problem is tried first."""
_NEAR = 1 / 3
"""Rate of the exponential distribution of short moves, in neighbours."""


def solve(
    problem: MemoryProblem, *, effort: int | None = None, capacity: int | None = None
) -> MemorySolution:
    """Offsets with a small height, checked by the independent validator.

    `effort` is the number of single placements spent beyond the first orders (some 25 microseconds each), by
    default at least EFFORT, and enough to place all buffers PASSES times. `capacity` (bytes) ends the search
    as soon as the height fits in it. A height above it means that the search found no such solution; only a
    lower bound above it proves that there is none.
    """
    packer = _Packer(problem)
    if effort is None:
        effort = max(EFFORT, PASSES * len(problem.buffers))
    goal = packer.bound if capacity is None else max(packer.bound, capacity)
    stacks = _stacks(problem)
    if len(stacks) < _FEWER * len(problem.buffers):
        merged = _Packer(MemoryProblem(tuple(block for block, _ in stacks)))
        merged.search(goal, effort - effort // 3)
        offsets = [0] * len(problem.buffers)
        for (_, members), start in zip(stacks, merged.offsets(), strict=True):
            for index, offset in members:
                offsets[index] = start + offset
        packer.adopt(offsets)
        effort //= 3
    packer.search(goal, effort)
    chosen = packer.offsets()
    height = max((o + buffer.size for o, buffer in zip(chosen, problem.buffers, strict=True)), default=0)
    solution = MemorySolution(chosen, height, problem.lower_bound())
    validate.check(problem, solution)
    return solution


def _stacks(problem: MemoryProblem) -> list[tuple[Buffer, list[tuple[int, int]]]]:
    """Blocks of buffers of the same live range and alignment, with their members (index, offset inside)."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for index, buffer in enumerate(problem.buffers):
        if buffer.size:
            groups.setdefault((buffer.lower, buffer.upper, buffer.alignment), []).append(index)
    stacks: list[tuple[Buffer, list[tuple[int, int]]]] = []
    for (lower, upper, alignment), group in groups.items():
        members: list[tuple[int, int]] = []
        end = 0
        for index in group:
            offset = -(-end // alignment) * alignment
            end = offset + problem.buffers[index].size
            members.append((index, offset))
        stacks.append((Buffer(str(len(stacks)), lower, upper, end, alignment), members))
    return stacks


class _Packer:
    """One problem as arrays, the placement in progress, and the best one so far.

    Buffers are stored by length class (powers of 8 of the live range's length), within a class by start.
    Those that overlap a given buffer are then among one slice of every class, no matter how many others there
    are.
    """

    def __init__(self, problem: MemoryProblem) -> None:
        self.count = len(problem.buffers)
        fields = ("lower", "upper", "size", "alignment")
        rows = [[getattr(buffer, field) for field in fields] for buffer in problem.buffers]
        lower, upper, size, alignment = np.array(rows, dtype=np.int64).reshape(self.count, 4).T
        self.kept = np.flatnonzero(size)
        lower, upper, size, alignment = (field[self.kept] for field in (lower, upper, size, alignment))
        # Two live ranges overlap when both contain the start of one of them: other steps do not count.
        starts, lower = np.unique(lower, return_inverse=True)
        upper = np.searchsorted(starts, upper)
        length_class = np.floor(np.log2(upper - lower) / 3).astype(np.int64)
        stored = np.lexsort((lower, length_class))
        self.kept = self.kept[stored]
        self.lower, self.upper, self.size, self.alignment = (
            field[stored].astype(np.int64) for field in (lower, upper, size, alignment)
        )
        self.length = self.upper - self.lower
        self.grain = int(np.gcd.reduce(self.alignment)) if self.size.size else 1
        self.live = self._live_bytes(self.size)
        self.bound = self._bound()
        self.slices = self._slices(length_class[stored])
        self.size_list = self.size.tolist()
        self.alignment_list = self.alignment.tolist()
        self.padded_list = (-(-self.size // self.grain) * self.grain).tolist()
        self.begin = np.zeros_like(self.size)
        self.end = np.zeros_like(self.size)
        # The end of the live range, or -1 while the buffer is not placed: one comparison tests for both.
        self.placed_until = np.full_like(self.size, -1)
        self.best_begin = self.begin.copy()
        self.best_height = _FREE

    def offsets(self) -> tuple[int, ...]:
        """Best offsets in the order of the problem's buffers."""
        offsets = np.zeros(self.count, dtype=np.int64)
        offsets[self.kept] = self.best_begin
        return tuple(offsets.tolist())

    def adopt(self, offsets: Sequence[int]) -> None:
        """Start from a valid placement (offsets in the order of the problem's buffers)."""
        self.begin = np.array(offsets, dtype=np.int64)[self.kept]
        self._keep_if_lower(int((self.begin + self.size).max(initial=0)))

    def _live_bytes(self, size: Ints) -> Ints:
        change = np.zeros(int(self.upper.max(initial=0)) + 1, dtype=np.int64)
        np.add.at(change, self.lower, size)
        np.subtract.at(change, self.upper, size)
        return np.cumsum(change)[:-1]

    def _bound(self) -> int:
        """Lower bound of the height for offsets in multiples of `grain`: only the topmost is not padded."""
        padded = -(-self.size // self.grain) * self.grain
        padding_on_top = int((padded - self.size).max(initial=0))
        return max(
            int(self._live_bytes(padded).max(initial=0)) - padding_on_top, int(self.live.max(initial=0))
        )

    def _slices(self, length_class: Ints) -> list[list[tuple[int, int]]]:
        """For every buffer the non-empty slices of stored buffers that may overlap it."""
        slices: list[list[tuple[int, int]]] = [[] for _ in range(self.size.size)]
        for value in np.unique(length_class):
            begin, end = np.searchsorted(length_class, [value, value + 1])
            lower = self.lower[begin:end]
            longest = self.length[begin:end].max()
            first = begin + np.searchsorted(lower, self.lower - longest, side="right")
            last = begin + np.searchsorted(lower, self.upper)
            for index in np.flatnonzero(first < last).tolist():
                slices[index].append((int(first[index]), int(last[index])))
        return slices

    def _neighbours(self, index: int) -> Ints:
        """Placed buffers whose live ranges overlap that of buffer `index`."""
        start = self.lower[index]
        parts = []
        for first, last in self.slices[index]:
            part = (self.placed_until[first:last] > start).nonzero()[0]
            part += first
            parts.append(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def place(self, index: int, best_fit: bool) -> int:
        """Put buffer `index` into the lowest or tightest gap that it fits; returns its end."""
        near = self._neighbours(index)
        size, alignment = self.size_list[index], self.alignment_list[index]
        floor = np.zeros(near.size + 1, dtype=np.int64)
        ceiling = np.full(near.size + 1, _FREE, dtype=np.int64)
        begin = self.begin[near]
        by_begin = begin.argsort()
        ceiling[:-1] = begin[by_begin]
        np.maximum.accumulate(self.end[near[by_begin]], out=floor[1:])
        if alignment != self.grain:
            floor = -(-floor // alignment) * alignment
        gap = ceiling - floor
        fits = gap >= size
        choice = int(np.where(fits, gap, _FREE * 2).argmin() if best_fit else fits.argmax())
        offset = int(floor[choice])
        self.begin[index] = offset
        self.end[index] = offset + self.padded_list[index]
        self.placed_until[index] = self.upper[index]
        end: int = offset + size
        return end

    def search(self, goal: int, effort: int) -> None:
        """Keep the lowest greedy placement, then improve it until `goal` or for `effort` placements."""
        if self.best_height <= goal:
            return
        greedy: list[tuple[int, int, list[int], bool]] = []
        for number, (order, best_fit) in enumerate(self._orders()):
            self.placed_until.fill(-1)
            height = max(self.place(index, best_fit) for index in order)
            self._keep_if_lower(height)
            if self.best_height <= goal:
                return
            greedy.append((height, number, order, best_fit))
        greedy.sort()
        effort = min(effort, _PER_BUFFER * self.size.size)
        share = max(effort // _ROUNDS, 2 * self.size.size)
        chooser = random.Random(0)
        turn = 0
        while effort > 0 and self.best_height > goal:
            _, _, order, best_fit = greedy[turn % len(greedy)]
            spent = self._improve(order, best_fit, goal, min(share, effort), chooser)
            effort -= spent
            turn += 1

    def _keep_if_lower(self, height: int) -> None:
        if height < self.best_height:
            self.best_height = height
            self.best_begin = self.begin.copy()

    def _orders(self) -> Iterator[tuple[list[int], bool]]:
        """Orders of placement, each with whether to choose the tightest gap; those that suit most training
        steps first.
        """
        if not self.size.size:
            self.best_height = 0
            return
        size, length, peak = self.size, self.length, self._peak_during_live_range()
        area = size.astype(np.float64) * length
        for keys, best_fit in (
            ((-size, -length, -peak), False),
            ((-area, -peak), False),
            ((-length, -size, -peak), True),
            ((-length, -size), False),
            ((-area,), False),
            ((-length, self.lower), True),
        ):
            yield np.lexsort(keys).tolist(), best_fit
        large = size >= LARGE * self.bound
        if not large.all():
            small = np.flatnonzero(~large)
            yield [*self._packed(np.flatnonzero(large)), *small[np.argsort(-area[small])].tolist()], False

    def _packed(self, chosen: Ints) -> list[int]:
        """The chosen buffers by offset, when they are placed without the others."""
        fields = (self.lower, self.upper, self.size, self.alignment)
        rows = zip(*(field[chosen].tolist() for field in fields), strict=True)
        problem = MemoryProblem(tuple(Buffer(str(i), *row) for i, row in enumerate(rows)))
        packer = _Packer(problem)
        packer.search(packer.bound, PASSES * chosen.size)
        order: list[int] = chosen[np.argsort(packer.offsets())].tolist()
        return order

    def _peak_during_live_range(self) -> Ints:
        """Most bytes live at a step of every buffer's live range, by a sparse table of range maxima."""
        peak = np.zeros_like(self.size)
        level = np.floor(np.log2(self.length)).astype(np.int64)
        table = self.live
        for exponent in range(int(level.max()) + 1):
            chosen = np.flatnonzero(level == exponent)
            width = 1 << exponent
            peak[chosen] = np.maximum(table[self.lower[chosen]], table[self.upper[chosen] - width])
            table = np.maximum(table[:-width], table[width:])
        return peak

    def _improve(
        self, order: list[int], best_fit: bool, goal: int, effort: int, chooser: random.Random
    ) -> int:
        """Squeaky wheel from one order; returns the placements spent.

        A buffer that ends above the target, one byte below the best height, moves ahead of a buffer that it
        overlaps: half of the time one placed shortly before it, else any.
        """
        rank = np.empty(len(order), dtype=np.int64)
        sequence = np.array(order, dtype=np.int64)
        rank[sequence] = np.arange(len(order))
        self.placed_until.fill(-1)
        position = spent = 0
        while spent < effort:
            index = int(sequence[position])
            spent += 1
            if self.place(index, best_fit) < self.best_height:
                position += 1
                if position < len(order):
                    continue
                end = self.begin + self.size
                self._keep_if_lower(int(end.max()))
                if self.best_height <= goal:
                    break
                position = int(rank[end >= self.best_height].min())
                self.placed_until[sequence[position:]] = -1
                continue
            self.placed_until[index] = -1
            ahead = np.sort(rank[self._neighbours(index)])
            if not ahead.size:  # At offset 0 already: a block alone is as high as the best placement.
                break
            back = (
                int(chooser.expovariate(_NEAR)) if chooser.random() < 0.5 else chooser.randrange(ahead.size)
            )
            target = int(ahead[max(ahead.size - 1 - back, 0)])
            self.placed_until[sequence[target:position]] = -1
            sequence[target + 1 : position + 1] = sequence[target:position].copy()
            sequence[target] = index
            rank[sequence[target : position + 1]] = np.arange(target, position + 1)
            position = target
        return spent
