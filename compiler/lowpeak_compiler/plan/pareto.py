"""The trade of memory for time: the fastest plan for each of several budgets."""

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
    """Points in order of budget, without the budgets that have no plan; a larger budget is never slower."""
    curve: list[Point[P]] = []
    for budget in sorted(budgets):
        found = plan(budget)
        known = curve[-1].plan if curve else None
        best = min((p for p in (known, found) if p is not None), key=lambda p: p.seconds, default=None)
        if best is not None:
            curve.append(Point(budget, best))
    return curve
