"""Local search: decisions that differ from a plan's in one or two, tried by measuring them.

The mixed-integer program (decide/decide.py) bounds memory by time bucket, with the undecided bytes of another
plan. What it misses is often one or two changes away:

    recompute a        -> keep a                     if that still fits
    recompute a        -> recompute b                cheaper, and it frees enough bytes at the peak
    recompute a, b     -> recompute c
    recompute a        -> offload a                  and vice versa

Input: plans, a budget, an effort in operations of measured programs. Output: a plan, and the effort left.
Stages: `reached` looks for any plan within the budget, the smallest known plans first; `faster` for a faster
one.
Invariant: neighbours come in an order that depends on the program and the decisions only.
What it does not do: change more than three decisions at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, combinations, count

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.measure import NEAR, Measurer, Plan
from lowpeak_compiler.plan.rematerialize import Decisions

STATES = 300
"""Sets of operations visited in search of the order of one neighbour. There are many neighbours, and visiting
more sets seldom finds more.
"""
LEAST_GAIN = 1 - 1e-6
MOST_PAIRS = 5000
"""Pairs of changes at most; where there are more, changes are tried one by one only."""


@dataclass(frozen=True)
class _Choice:
    """Names that are decided about together, and the processor time that this choice costs."""

    unit: int
    recompute: frozenset[str]
    offload: frozenset[str]
    seconds: float
    optional: bool = True


class Neighbourhood:
    """The changes that can be made to decisions on one program."""

    def __init__(self, decider: Decider) -> None:
        program, rates = decider.program, decider.rates
        needed = {key.unit for key in decider.candidates}
        unkept = {key.unit for key, c in decider.candidates.items() if c.kind is Kind.WEIGHT}
        self.choices: list[_Choice] = []
        for number, unit in enumerate(decider.units.all):
            if number in needed:
                names = frozenset(program.ops[step].name for step in unit.steps)
                self.choices.append(_Choice(number, names, frozenset(), unit.seconds, number not in unkept))
        for key, candidate in decider.candidates.items():
            if decider.offload and candidate.sole_output and not candidate.small:
                names = frozenset(program.values[value].name for value in candidate.values)
                call = 2 * rates.seconds_per_op * len(candidate.values)
                seconds = rates.compute_seconds(0, 2 * candidate.nbytes) + call
                self.choices.append(_Choice(key.unit, frozenset(), names, seconds))

    def around(self, decisions: Decisions) -> Iterator[tuple[float, Decisions]]:
        """Changed decisions, each with the seconds that it adds to the baseline program; the most first."""
        present = [
            c for c in self.choices if c.recompute & decisions.recompute or c.offload & decisions.offload
        ]
        chosen = set(present)
        others = [choice for choice in self.choices if choice not in chosen]
        before = sum(choice.seconds for choice in present)
        decided = {choice.unit for choice in present}
        changes = [
            (before + sum(c.seconds for c in more) - sum(c.seconds for c in fewer), fewer, more)
            for fewer, more in self._changes([choice for choice in present if choice.optional], others)
            if (decided - {c.unit for c in fewer}).isdisjoint(c.unit for c in more)
        ]
        for seconds, fewer, more in sorted(changes, key=lambda change: -change[0]):
            yield seconds, _changed(decisions, fewer, more)

    def _changes(
        self, undone: list[_Choice], others: list[_Choice]
    ) -> Iterator[tuple[tuple[_Choice, ...], tuple[_Choice, ...]]]:
        for choice in undone:
            yield (choice,), ()
        for choice in others:
            yield (), (choice,)
        if len(undone) * len(others) <= MOST_PAIRS:
            yield from (((fewer,), (more,)) for fewer in undone for more in others)
        if len(undone) ** 2 * len(others) <= MOST_PAIRS:
            yield from ((pair, (more,)) for pair in combinations(undone, 2) for more in others)


def _changed(decisions: Decisions, fewer: tuple[_Choice, ...], more: tuple[_Choice, ...]) -> Decisions:
    recompute, offload = decisions.recompute, decisions.offload
    for choice in fewer:
        recompute, offload = recompute - choice.recompute, offload - choice.offload
    for choice in more:
        recompute, offload = recompute | choice.recompute, offload | choice.offload
    return Decisions(recompute, offload)


def reached(
    measurer: Measurer, neighbourhood: Neighbourhood, budget: int, known: Iterable[Plan], effort: int
) -> tuple[Plan | None, int]:
    """A plan within the budget, searched for among the `known` plans near it and their neighbours, the
    smallest plan first; and the effort left.
    """
    queue: list[tuple[int, int, Iterator[Decisions]]] = []
    number = count()
    entered: set[Decisions] = set()

    def enter(plan: Plan) -> None:
        if plan.needed_bytes <= NEAR * budget and plan.decisions not in entered:
            entered.add(plan.decisions)
            changed = (decisions for _, decisions in neighbourhood.around(plan.carried_out))
            heappush(queue, (plan.needed_bytes, next(number), chain([plan.decisions], changed)))

    for plan in known:
        enter(plan)
    tried: set[Decisions] = set()
    while queue and effort > 0:
        decisions = next(queue[0][2], None)
        if decisions is None:
            heappop(queue)
        elif decisions not in tried:
            tried.add(decisions)
            effort -= len(measurer.program.ops)
            plan = measurer.measure(decisions)
            fitted = measurer.fitted(plan, budget, STATES)
            if fitted is not None:
                return fitted, effort
            enter(plan)
    return None, effort


def faster(
    measurer: Measurer, neighbourhood: Neighbourhood, current: Plan, budget: int, effort: int
) -> tuple[Plan | None, int]:
    """A neighbour of `current` that is faster and within the budget, if any; and the effort left."""
    baseline = sum(op.seconds for op in measurer.program.ops)
    for seconds, decisions in neighbourhood.around(current.carried_out):
        if baseline + seconds >= current.seconds * LEAST_GAIN:
            continue
        if effort <= 0:
            break
        effort -= len(measurer.program.ops)
        fitted = measurer.fitted(measurer.measure(decisions), budget, STATES)
        if fitted is not None:
            ahead = measurer.prefetched(fitted, budget)
            if ahead.seconds < current.seconds:
                return ahead, effort
    return None, effort
