"""Search for an order within a byte budget, around the steps that exceed it.

Around the first step over the budget a window of operations is reordered by depth-first search. Of the ready
operations every one that fits is tried. A set of operations that could not be completed is not visited again
in another order. An operation that fits and does not grow the live bytes runs at once, which excludes no
solution: whatever follows has at most as many live bytes. Then comes the next step over the budget.

Input: a program and a budget of live bytes. Output: the program in an order within the budget, or None.
Invariant: operations outside of the windows stay where they are; dependences are respected.
What it does not do: prove that no order fits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lowpeak_compiler.plan.liveness import PERSISTENT, live_bytes, live_ranges
from lowpeak_compiler.plan.program import Program

WIDTH = 80
"""Operations in a window."""
STATES = 1500
"""Sets of operations visited in a window, unless the caller asks for fewer."""
WINDOWS = 8


def order_within(program: Program, budget: int, alignment: int, states: int = STATES) -> Program | None:
    """The program in an order whose live bytes are at most `budget` at every step; None if the search visits
    `states` sets of operations in one window without success.
    """
    searched = 0
    for _ in range(WINDOWS):
        live = live_bytes(program, alignment)
        over = next((step for step, nbytes in enumerate(live) if nbytes > budget), None)
        if over is None:
            return program
        if over < searched:
            return None
        first = max(0, over - WIDTH // 2)
        window = range(first, min(first + WIDTH, len(program.ops)))
        order = _Window(program, window, alignment).search(budget, states)
        if order is None:
            return None
        program = program.reordered([*range(first), *order, *range(window.stop, len(program.ops))])
        searched = window.stop
    return None


@dataclass
class _Choice:
    """A set of operations that have run (as bits), the live bytes after them, and the steps that may run
    next.
    """

    done: int
    live: int
    next: list[int]


class _Window:
    """The operations of a window; all others stay where they are."""

    def __init__(self, program: Program, window: range, alignment: int) -> None:
        self.ops = program.ops
        self.window = window
        self.sizes = [-(-value.nbytes // alignment) * alignment for value in program.values]
        inside = [self.ops[step] for step in window]
        self.uses = Counter(value for op in inside for value in op.reads)
        later = {value for op in self.ops[window.stop :] for value in op.reads}
        adapters = {v for v, value in enumerate(program.values) if value.kind in PERSISTENT}
        self.pinned = adapters | program.kept
        self.outlive = self.pinned | later
        producer = {value: step for step in window for value in self.ops[step].writes}
        self.bits = {step: 1 << position for position, step in enumerate(window)}
        self.needs = {
            step: sum({self.bits[producer[v]] for v in self.ops[step].reads if v in producer})
            for step in window
        }
        ranges = live_ranges(program)
        before = {value for op in self.ops[: window.start] for value in op.writes}
        written = before | {value for op in self.ops[window.start :] for value in op.writes}
        self.live = sum(
            size
            for value, size in enumerate(self.sizes)
            if (value in before or value not in written) and ranges.upper[value] > window.start
        )

    def search(self, budget: int, states: int) -> list[int] | None:
        """The steps of the window in an order that fits; None if there is none, or after `states` sets."""
        order: list[int] = []
        everything = (1 << len(self.window)) - 1
        seen = {0}
        choices = [_Choice(0, self.live, self._next(0, self.live, budget))]
        while choices and len(seen) < states:
            latest = choices[-1]
            if latest.done == everything:
                return order
            if not latest.next:
                choices.pop()
                if order:
                    self.uses.update(self.ops[order.pop()].reads)
                continue
            step = latest.next.pop()
            done = latest.done | self.bits[step]
            if done in seen:
                continue
            seen.add(done)
            live = latest.live + self._growth(step)
            self.uses.subtract(self.ops[step].reads)
            order.append(step)
            choices.append(_Choice(done, live, self._next(done, live, budget)))
        return None

    def _next(self, done: int, live: int, budget: int) -> list[int]:
        """Ready operations that fit, the most promising last."""
        fitting: list[tuple[int, int]] = []
        for step, bit in self.bits.items():
            if done & bit or self.needs[step] & ~done:
                continue
            if live + self._allocated(step) > budget:
                continue
            growth = self._growth(step)
            if growth <= 0:
                return [step]
            fitting.append((growth, step))
        return [step for _, step in sorted(fitting, reverse=True)]

    def _dies(self, value: int) -> bool:
        """Whether the operation that runs next, which reads the value, is its last use."""
        return self.uses[value] == 1 and value not in self.outlive

    def _allocated(self, step: int) -> int:
        """Bytes that the operation allocates for its results, without those that it takes over in place."""
        op = self.ops[step]
        allocated = sum(self.sizes[value] for value in op.writes)
        shared: set[int] = set()
        for written, read in op.in_place:
            fresh = written not in shared and read not in shared
            if fresh and self._dies(read) and self.sizes[written] == self.sizes[read]:
                shared.update((written, read))
                allocated -= self.sizes[written]
        return allocated

    def _growth(self, step: int) -> int:
        """By how much the live bytes after the operation exceed those before it."""
        op = self.ops[step]
        defined = sum(self.sizes[v] for v in op.writes if self.uses[v] or v in self.outlive)
        return defined - sum(self.sizes[v] for v in op.reads if self._dies(v))
