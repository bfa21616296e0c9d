"""The planner beside the proven optimum, on networks so small that there is one.

Larger ones, and the least peak: `python -m benchmarks.planner_optimum`.
"""

from __future__ import annotations

import pytest

from lowpeak_compiler.plan.liveness import live_bytes, memory_problem
from lowpeak_compiler.plan.place.memory import solve
from tests.plan.networks import small_networks, small_planner, smallest_peak
from tests.plan.optimum import least_peak, least_seconds, peak_of

PROVEN = (
    "even chain of 6",
    "chain of 8",
    "ResNet, 1 block",
    "U-Net, 1 level",
    "decoder layer",
    "inception.csv",
    "uneven_chain.csv",
)
PROVEN_PEAK = ("even chain of 6", "ResNet, 1 block", "U-Net, 1 level", "decoder layer", "uneven_chain.csv")
"""Without a plan to begin with a proof takes long for the others."""
SHARES = (0.0, 0.3, 0.7)
"""Of the way from the planner's smallest peak to that of its fastest plan."""
LIMIT = 60.0
LONG = ("decoder layer", "inception.csv", "chain of 8", "U-Net, 1 level")
GAP = 1.02


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.thorough) if n in LONG else n for n in PROVEN]
)
def test_within_two_percent_of_the_optimum(name: str) -> None:
    program = small_networks()[name]
    planner = small_planner(program)
    least, most = smallest_peak(planner), planner.fastest().peak_bytes
    for share in SHARES:
        budget = int(least + share * (most - least))
        plan = planner.plan(budget)
        assert plan is not None and max(live_bytes(plan.program)) <= budget
        optimum = least_seconds(program, budget, limit=LIMIT, start=plan)
        assert optimum.proven and optimum.value is not None
        assert plan.seconds <= GAP * optimum.value + 1e-9


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.thorough) if n in LONG else n for n in PROVEN_PEAK]
)
def test_the_smallest_peak_is_within_two_percent_of_the_optimum(name: str) -> None:
    program = small_networks()[name]
    least = smallest_peak(small_planner(program))
    optimum = least_peak(program, least, limit=LIMIT)
    assert optimum.proven and optimum.value is not None
    assert least <= GAP * optimum.value


@pytest.mark.parametrize("name", small_networks())
def test_the_optimum_counts_bytes_as_the_planner_does(name: str) -> None:
    program = small_networks()[name]
    planner = small_planner(program)
    fastest = planner.fastest()
    smaller = planner.plan(int(0.98 * fastest.peak_bytes))
    assert smaller is not None and smaller.program != fastest.program
    for plan in (fastest, smaller):
        assert peak_of(program, plan) == max(live_bytes(plan.program))


@pytest.mark.parametrize("name", small_networks())
def test_offsets_are_near_the_bound(name: str) -> None:
    problem, _ = memory_problem(small_planner(small_networks()[name]).fastest().program, 1)
    assert solve(problem).height <= 1.01 * problem.lower_bound()
