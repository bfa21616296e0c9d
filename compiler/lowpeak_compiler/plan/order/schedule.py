"""List scheduling for a lower peak.

Results are scheduled in their present order, so that weight gradients are computed as soon as their operands
exist. What a result depends on runs just before it, so that recomputation happens as late as possible. An
operation that frees at least as many bytes as it allocates runs as soon as it is ready.

Input: a program. Output: the same operations in another order, or the program itself.
Invariant: dependences are respected, and the peak is at most that of the present order.
What it does not do: search (fit_order.py), or know a budget.
"""

from __future__ import annotations

from lowpeak_compiler.plan.liveness import peak_bytes, pinned
from lowpeak_compiler.plan.program import Program


def schedule(program: Program) -> Program:
    """Whichever of the present and the new order has the lower peak; the present one if they are equal."""
    scheduled = program.reordered(_ListScheduler(program).order())
    return min((program, scheduled), key=peak_bytes)


class _ListScheduler:
    """The operations scheduled so far, and the number of each value's remaining uses."""

    def __init__(self, program: Program) -> None:
        self.program = program
        ops, values = program.ops, program.values
        self.producer = [-1] * len(values)
        self.readers: list[list[int]] = [[] for _ in values]
        for index, op in enumerate(ops):
            for value in op.writes:
                self.producer[value] = index
            for value in op.reads:
                self.readers[value].append(index)
        self.nbytes: list[int] = program.nbytes.tolist()
        # What is live to the end has one more use, which is never scheduled.
        self.uses = [len(r) + stays for r, stays in zip(self.readers, pinned(program).tolist(), strict=True)]
        self.written = [sum([self.nbytes[v] for v in op.writes]) for op in ops]
        self.waiting = [sum([self.producer[v] >= 0 for v in op.reads]) for op in ops]
        self.done = [False] * len(ops)
        self.ran: list[int] = []

    def order(self) -> list[int]:
        """Indices of the operations: every result in its order, and before it what it depends on."""
        ops, producer, done = self.program.ops, self.producer, self.done
        for target in sorted(producer[v] for v in self.program.results if producer[v] >= 0):
            stack = [target]
            while stack:
                index = stack[-1]
                if done[index]:
                    stack.pop()
                    continue
                needed = [p for v in ops[index].reads if (p := producer[v]) >= 0 and not done[p]]
                if needed:
                    stack.extend(sorted(needed, reverse=True))
                else:
                    stack.pop()
                    self._run(index)
        return self.ran

    def _run(self, first: int) -> None:
        """Schedules an operation, and all that thereby becomes ready and does not grow the live bytes."""
        done, uses, waiting, readers = self.done, self.uses, self.waiting, self.readers
        eager = [first]
        while eager:
            index = eager.pop()
            if done[index] or (index != first and self._growth(index) > 0):
                continue
            done[index] = True
            self.ran.append(index)
            op = self.program.ops[index]
            for value in op.reads:
                uses[value] -= 1
            for value in op.writes:
                for reader in readers[value]:
                    waiting[reader] -= 1
            ready = {
                reader
                for value in (*op.writes, *op.reads)
                for reader in readers[value]
                if not done[reader] and not waiting[reader]
            }
            if ready:
                eager.extend(sorted(ready, reverse=True))

    def _growth(self, index: int) -> int:
        """By how much running the operation grows the live bytes."""
        growth: int = self.written[index]
        for value in self.program.ops[index].reads:
            if self.uses[value] == 1:
                growth -= self.nbytes[value]
        return growth
