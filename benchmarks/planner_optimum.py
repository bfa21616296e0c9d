"""Plans of small networks beside the proven optimum of CP-SAT, and their offsets beside the liveness bound.

    python -m benchmarks.planner_optimum [--seconds 60] [--networks "chain of 8" "decoder layer"]

For each network: the smallest peak, then the shortest step within budgets between that and the peak of the
fastest plan; recomputation and order are free in both. Where no optimum is proven in the time, the gap is to
the bound that is, which no plan goes below. `arena` is the height of the offsets over the liveness bound.
"""

from __future__ import annotations

import argparse
import math

from rich.console import Console
from rich.table import Table

from lowpeak_compiler.plan.liveness import memory_problem
from lowpeak_compiler.plan.measure import Plan
from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.program import Program
from tests.plan.networks import KIB, small_networks, small_planner, smallest_peak
from tests.plan.optimum import Optimum, least_peak, least_seconds

SHARES = (0.0, 0.1, 0.4, 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--networks", nargs="+", choices=list(small_networks()))
    options = parser.parse_args()
    networks = small_networks()
    names = options.networks or list(networks)
    table = Table("network", "operations", "within KiB", "planner", "optimum", "gap", "arena")
    for name in names:
        for row in rows(networks[name], options.seconds):
            table.add_row(name, str(len(networks[name].ops)), *row)
    Console(width=120).print(table)


def rows(program: Program, limit: float) -> list[tuple[str, ...]]:
    planner = small_planner(program)
    least, most = smallest_peak(planner), planner.fastest().peak_bytes
    optimum = least_peak(program, least, limit=limit)
    result: list[tuple[str, ...]] = []
    result.append(("smallest", f"{least // KIB} KiB", *beside(least, optimum, 1 / KIB, "KiB"), ""))
    for share in SHARES:
        budget = int(least + share * (most - least))
        plan = planner.plan(budget)
        assert plan is not None
        optimum = least_seconds(program, budget, limit=limit, start=plan)
        ours = f"{plan.seconds * 1e3:.2f} ms"
        result.append((f"{budget // KIB}", ours, *beside(plan.seconds, optimum, 1e3, "ms"), arena(plan)))
    return result


def beside(ours: float, optimum: Optimum, scale: float, unit: str) -> tuple[str, str]:
    """The optimum, or the proven bound, and the gap to it."""
    if optimum.proven and optimum.value is not None:
        return f"{optimum.value * scale:.2f} {unit}", f"{ours / optimum.value - 1:z.2%}"
    if not math.isfinite(optimum.bound):
        return "none in the time", ""
    return f"at least {optimum.bound * scale:.2f} {unit}", f"at most {ours / optimum.bound - 1:.2%}"


def arena(plan: Plan) -> str:
    problem, _ = memory_problem(plan.program, 1)
    return f"{solve(problem).height / problem.lower_bound():.4f}"


if __name__ == "__main__":
    main()
