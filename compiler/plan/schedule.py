"""An order of the operations with a lower peak.

Work is pulled: for each result in its present order (weight gradients thus as soon as their operands exist),
what it needs runs just before it (recomputation thus as late as possible). And what frees at least the bytes
that it takes runs as soon as it can.
"""

from __future__ import annotations

from collections import defaultdict

from compiler.plan.liveness import PERSISTENT, live_bytes
from compiler.plan.program import Program


def schedule(program: Program) -> Program:
    """The better of the present order and the pulled one, by peak; ties keep the present order."""
    pulled = program.reordered(_pull(program))
    return min((program, pulled), key=lambda candidate: max(live_bytes(candidate), default=0))


def _pull(program: Program) -> list[int]:
    ops, values = program.ops, program.values
    producer = {value: index for index, op in enumerate(ops) for value in op.writes}
    readers: dict[int, list[int]] = defaultdict(list)
    for index, op in enumerate(ops):
        for value in op.reads:
            readers[value].append(index)
    uses = {value: len(indices) for value, indices in readers.items()}
    pinned = program.kept | {v for v, value in enumerate(values) if value.kind in PERSISTENT}
    waiting = [sum(value in producer for value in op.reads) for op in ops]
    done = [False] * len(ops)
    order: list[int] = []

    def growth(index: int) -> int:
        """Bytes that running the operation adds."""
        op = ops[index]
        freed = sum(values[v].nbytes for v in op.reads if uses[v] == 1 and v not in pinned)
        return sum(values[v].nbytes for v in op.writes) - freed

    def run(first: int) -> None:
        eager = [first]
        while eager:
            index = eager.pop()
            if done[index] or (index != first and growth(index) > 0):
                continue
            done[index] = True
            order.append(index)
            for value in ops[index].reads:
                uses[value] -= 1
            for value in ops[index].writes:
                for reader in readers[value]:
                    waiting[reader] -= 1
            touched = (*ops[index].writes, *ops[index].reads)
            ready = {r for v in touched for r in readers[v] if not done[r] and waiting[r] == 0}
            eager.extend(sorted(ready, reverse=True))

    targets = [producer[value] for value in program.results if value in producer]
    for target in sorted(targets):
        stack = [target]
        while stack:
            index = stack[-1]
            if done[index]:
                stack.pop()
                continue
            needed = [producer[v] for v in ops[index].reads if v in producer and not done[producer[v]]]
            if needed:
                stack.extend(sorted(needed, reverse=True))
            else:
                stack.pop()
                run(index)
    return order
