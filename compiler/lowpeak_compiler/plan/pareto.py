"""The trade-off of memory and time: the fastest plan for each of several budgets.

Input: a function from budget to plan, and budgets. Output: points in order of budget.
Invariant: along the curve a larger budget is never slower.
What it does not do: choose the budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    @property
    def seconds(self) -> float: ...


P = TypeVar("P", bound=Timed)


@dataclass(frozen=True)
class Point(Generic[P]):
    """A budget in bytes and the fastest plan known that fits it."""

    budget: int
    plan: P


def pareto(plan: Callable[[int], P | None], budgets: Iterable[int]) -> list[Point[P]]:
    """Points in order of budget, without the budgets that have no plan."""
    curve: list[Point[P]] = []
    for budget in sorted(budgets):
        smaller = curve[-1].plan if curve else None
        best = min(
            (p for p in (smaller, plan(budget)) if p is not None), key=lambda p: p.seconds, default=None
        )
        if best is not None:
            curve.append(Point(budget, best))
    return curve
