from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.plan.cost import Rates
from compiler.plan.liveness import live_bytes
from compiler.plan.pareto import pareto
from compiler.plan.measure import Memory
from compiler.plan.planner import Planner
from compiler.plan.program import Program
from compiler.plan.rematerialize import Decisions, carry_out
from compiler.plan.schedule import schedule
from compiler.plan.timeline import step_seconds
from tests.plan.programs import program

RATES = Rates(flops=1, memory_bytes=1, disk_read_bytes=1e6, disk_write_bytes=1e6, seconds_per_op=0)
BIG = 1 << 20


def network(layers: int, widths: list[int]) -> Program:
    """A chain of layers a, b, ...: each backward reads its layer's input and output. Sizes in MiB."""
    names = [chr(ord("a") + i) for i in range(layers)]
    back = [name.upper() for name in names]
    sizes = {"x": BIG, **{n: widths[i] * BIG for i, n in enumerate(names)}}
    sizes |= {n: widths[i] * BIG for i, n in enumerate(back)}
    ops = [(n, names[i - 1] if i else "x", n) for i, n in enumerate(names)]
    for i in reversed(range(layers)):
        above = [back[i + 1]] if i + 1 < layers else []
        ops.append((back[i], "".join([names[i], names[i - 1] if i else "x", *above]), back[i]))
    return program(sizes, ops, names[-1] + back[0], layers)


def best_peak(run: Program, seconds: float | None = None) -> int:
    """The lowest peak of all choices of what to recompute, by trying each in the scheduler's order."""
    forward = [op.name for op in run.ops if op.forward]
    peaks = []
    for size in range(len(forward) + 1):
        for chosen in itertools.combinations(forward, size):
            decided = schedule(carry_out(run, Decisions(frozenset(chosen)), RATES))
            if seconds is None or step_seconds(decided) <= seconds + 1e-9:
                peaks.append(max(live_bytes(decided)))
    return min(peaks)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=6))
def test_plans_fit_and_cost_little_more_than_the_best_choice(widths: list[int]):
    run = network(len(widths), widths)
    planner = Planner(run, RATES, Memory(1), offload=False)
    most, least = planner.fastest().peak_bytes, best_peak(run)
    for budget in range(least, most + BIG, BIG):
        plan = planner.plan(budget)
        if plan is None:
            continue
        assert plan.peak_bytes <= budget
        assert max(live_bytes(plan.program)) == plan.peak_bytes
    assert planner.plan(least) is not None
    assert planner.plan(most) == planner.fastest()


def test_the_smallest_plan_of_a_chain_is_no_larger_than_the_best_choice_in_the_scheduler_s_order():
    run = network(8, [3, 1, 4, 1, 5, 2, 6, 1])
    planner = Planner(run, RATES, Memory(1), offload=False)
    found = smallest_feasible(lambda mib: planner.plan(mib * BIG) is not None, 1, 64) * BIG
    plan = planner.plan(found)
    assert plan is not None and max(live_bytes(plan.program)) == found <= best_peak(run)


def test_offload_is_chosen_where_it_is_cheaper_than_running_again():
    run = network(6, [4] * 6)
    fast_disk = Rates(1, 1e12, disk_read_bytes=1e12, disk_write_bytes=1e12, seconds_per_op=0)
    budget = Planner(run, RATES, Memory(1), offload=False).fastest().peak_bytes - 8 * BIG
    plan = Planner(run, fast_disk, Memory(1), offload=True).plan(budget)
    assert plan is not None and plan.decisions.offload and not plan.decisions.recompute
    slow_disk = Rates(1, 1e12, disk_read_bytes=1, disk_write_bytes=1, seconds_per_op=0)
    plan = Planner(run, slow_disk, Memory(1), offload=True).plan(budget)
    assert plan is not None and plan.decisions.recompute and not plan.decisions.offload


def test_a_curve_is_never_slower_with_more_memory():
    run = network(8, [3, 1, 4, 1, 5, 2, 6, 1])
    planner = Planner(run, RATES, Memory(1), offload=False)
    curve = pareto(planner.plan, [mib * BIG for mib in range(4, 40, 3)])
    assert len(curve) > 3
    assert all(a.plan.seconds >= b.plan.seconds for a, b in itertools.pairwise(curve))
    assert all(point.plan.peak_bytes <= point.budget for point in curve)


@pytest.mark.parametrize("answer", [1, 2, 57, 100])
def test_bisection(answer: int):
    assert smallest_feasible(lambda n: n >= answer, 0, 100) == answer


def test_an_operation_with_two_large_results():
    run = program(dict.fromkeys("xabG", BIG), [("f", "x", "ab"), ("g", "ab", "G")], "G", 1)
    plan = Planner(run, RATES, Memory(1), offload=False).fastest()
    assert plan.peak_bytes == 3 * BIG
