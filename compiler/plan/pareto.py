"""The trade of memory for time: plans for a range of budgets."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.plan.planner import Plan, Planner


def budgets_between(planner: Planner, points: int) -> list[int]:
    """`points` budgets in bytes, evenly spaced from the smallest plan's peak to the fastest plan's."""
    low, high = planner.smallest().peak_bytes, planner.fastest().peak_bytes
    return [low + (high - low) * i // max(points - 1, 1) for i in range(points)]


def pareto(planner: Planner, budgets: Sequence[int]) -> list[tuple[int, Plan]]:
    """(budget, plan) for every budget that has a plan; a larger budget is never slower."""
    curve: list[tuple[int, Plan]] = []
    best: Plan | None = None
    for budget in sorted(budgets):
        plan = planner.plan(budget)
        if plan is None:
            continue
        if best is None or (plan.seconds, plan.peak_bytes) < (best.seconds, best.peak_bytes):
            best = plan
        curve.append((budget, best))
    return curve
