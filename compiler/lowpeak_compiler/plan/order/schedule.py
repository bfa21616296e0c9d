"""An order of the operations with a lower peak.

Work is pulled: for each result in its present order (weight gradients thus as soon as their operands exist),
what it needs runs just before it (recomputation thus as late as possible). And what frees at least the bytes
that it takes runs as soon as it can.
"""

from __future__ import annotations

from lowpeak_compiler.plan.liveness import peak_bytes, pinned
from lowpeak_compiler.plan.program import Program


def schedule(program: Program) -> Program:
    """The better of the present order and the pulled one, by peak; ties keep the present order."""
    pulled = program.reordered(_Pull(program).order())
    return min((program, pulled), key=peak_bytes)


class _Pull:
    """The operations as they have run so far, and what is left of each value's readers."""

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
        # What lives to the end has one more reader, which never comes.
        self.uses = [len(r) + stays for r, stays in zip(self.readers, pinned(program).tolist(), strict=True)]
        self.written = [sum([self.nbytes[v] for v in op.writes]) for op in ops]
        self.waiting = [sum([self.producer[v] >= 0 for v in op.reads]) for op in ops]
        self.done = [False] * len(ops)
        self.ran: list[int] = []

    def order(self) -> list[int]:
        """Indices of the operations: each result in its order, and before it what it needs."""
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
        """Runs an operation, and all that thereby can run and frees what it takes."""
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
        """Bytes that running the operation adds."""
        growth: int = self.written[index]
        for value in self.program.ops[index].reads:
            if self.uses[value] == 1:
                growth -= self.nbytes[value]
        return growth
