"""An order within a byte budget, searched where the present one exceeds it.

Around the first step that exceeds the budget a window of operations is ordered anew, depth first: among those
whose operands are there, every one that fits is tried, and a set of operations that cannot be completed is
not tried again in another order. An operation that fits and frees what it takes is run at once, which never
excludes a solution: it lowers what is live in everything that may follow. Then the next step that exceeds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lowpeak_compiler.plan.liveness import PERSISTENT, lifetimes, live_bytes
from lowpeak_compiler.plan.program import Program

WIDTH = 80
"""Operations in a window."""
STATES = 1500
"""Sets of operations looked at in a window, unless fewer are asked for."""
WINDOWS = 8


def order_within(program: Program, budget: int, alignment: int, states: int = STATES) -> Program | None:
    """The program in an order whose live bytes are at most `budget` at every step; None if none is found
    among `states` sets of operations in a window.
    """
    beginning = 0
    for _ in range(WINDOWS):
        live = live_bytes(program, alignment)
        over = next((step for step, nbytes in enumerate(live) if nbytes > budget), None)
        if over is None:
            return program
        if over < beginning:
            return None
        first = max(0, over - WIDTH // 2)
        window = range(first, min(first + WIDTH, len(program.ops)))
        found = _Window(program, window, alignment).search(budget, states)
        if found is None:
            return None
        program = program.reordered([*range(first), *found, *range(window.stop, len(program.ops))])
        beginning = window.stop
    return None


@dataclass
class _Choice:
    """A set of operations that have run, what is live after them, and those that may run next."""

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
        found = lifetimes(program)
        made = {value for op in self.ops[: window.start] for value in op.writes}
        written = made | {value for op in self.ops[window.start :] for value in op.writes}
        self.live = sum(
            size
            for value, size in enumerate(self.sizes)
            if (value in made or value not in written) and found.upper[value] > window.start
        )

    def search(self, budget: int, states: int) -> list[int] | None:
        """The steps of the window in an order that fits; None if there is none or the search gets long."""
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
        """Operations that can run and fit, the most promising last."""
        fitting: list[tuple[int, int]] = []
        for step, bit in self.bits.items():
            if done & bit or self.needs[step] & ~done:
                continue
            if live + self._taken(step) > budget:
                continue
            growth = self._growth(step)
            if growth <= 0:
                return [step]
            fitting.append((growth, step))
        return [step for _, step in sorted(fitting, reverse=True)]

    def _dies(self, value: int) -> bool:
        """Whether the operation that runs next, a reader of the value, is its last."""
        return self.uses[value] == 1 and value not in self.outlive

    def _taken(self, step: int) -> int:
        """Bytes that the operation takes while it runs, less what it takes over in place."""
        op = self.ops[step]
        taken = sum(self.sizes[value] for value in op.writes)
        shared: set[int] = set()
        for written, read in op.in_place:
            fresh = written not in shared and read not in shared
            if fresh and self._dies(read) and self.sizes[written] == self.sizes[read]:
                shared.update((written, read))
                taken -= self.sizes[written]
        return taken

    def _growth(self, step: int) -> int:
        """Bytes that are live more after the operation than before."""
        op = self.ops[step]
        made = sum(self.sizes[v] for v in op.writes if self.uses[v] or v in self.outlive)
        return made - sum(self.sizes[v] for v in op.reads if self._dies(v))
