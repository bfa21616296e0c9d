from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.measure import Memory
from lowpeak_compiler.plan.order.schedule import schedule
from lowpeak_compiler.plan.pareto import pareto
from lowpeak_compiler.plan.planner import Planner, Trace
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions, carry_out
from lowpeak_compiler.plan.timeline import step_seconds
from tests.plan.networks import small_networks, small_planner
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


def best_peak(run: Program) -> int:
    """The lowest peak of all choices of what to recompute, by trying each in the scheduler's order."""
    return min(peak for peak, _ in choices(run))


def choices(run: Program) -> list[tuple[int, float]]:
    """Peak and seconds of every choice of what to recompute."""
    forward = [op.name for op in run.ops if op.forward]
    result = []
    for size in range(len(forward) + 1):
        for chosen in itertools.combinations(forward, size):
            decided = schedule(carry_out(run, Decisions(frozenset(chosen)), RATES))
            result.append((max(live_bytes(decided)), step_seconds(decided)))
    return result


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=6))
def test_plans_fit_and_cost_no_more_than_the_best_choice(widths: list[int]):
    run = network(len(widths), widths)
    planner = Planner(run, RATES, Memory(1), offload=False)
    known = choices(run)
    most, least = planner.fastest().peak_bytes, min(peak for peak, _ in known)
    for budget in range(least, most + BIG, BIG):
        plan = planner.plan(budget)
        assert plan is not None
        assert plan.peak_bytes <= budget
        assert max(live_bytes(plan.program)) == plan.peak_bytes
        assert plan.seconds <= min(seconds for peak, seconds in known if peak <= budget) + 1e-9
    assert planner.plan(most) == planner.fastest()


def test_the_smallest_plan_of_a_chain_is_no_larger_than_the_best_choice_in_the_scheduler_s_order():
    run = network(8, [3, 1, 4, 1, 5, 2, 6, 1])
    smallest = Planner(run, RATES, Memory(1), offload=False).smallest()
    assert max(live_bytes(smallest.program)) == smallest.needed_bytes <= best_peak(run)


SLOW = "2 decoder layers"
LARGE = ("decoder layer", "inception.csv", "U-Net, 2 levels", "ResNet, 1 + 1 blocks", "chain of 8", SLOW)
ALL = [pytest.param(name, marks=pytest.mark.thorough) if name in LARGE else name for name in small_networks()]
FAST = [each for each in ALL if SLOW not in getattr(each, "values", ())]


@pytest.mark.parametrize("name", ALL)
def test_a_fresh_planner_accepts_the_smallest_budget_and_refuses_one_byte_less(name: str):
    run = small_networks()[name]
    *before, smallest = small_planner(run).falling
    assert all(a.needed_bytes > b.needed_bytes for a, b in itertools.pairwise([*before, smallest]))
    fresh = small_planner(run)
    assert fresh.plan(smallest.needed_bytes - 1) is None
    plan = fresh.plan(smallest.needed_bytes)
    assert plan is not None and plan.needed_bytes <= smallest.needed_bytes
    assert plan.seconds <= smallest.seconds


@pytest.mark.parametrize("name", FAST)
def test_plans_are_the_same_in_any_order_of_questions_and_on_any_number_of_threads(name: str):
    run = small_networks()[name]
    asked = small_planner(run)
    least, most = asked.smallest().needed_bytes, asked.fastest().needed_bytes
    budgets = [least - 1, *(least + (most - least) * share // 6 for share in range(6)), most + 1]
    plans = [asked.plan(budget) for budget in budgets]
    assert plans[0] is None and None not in plans[1:]
    shared = small_planner(run)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(shared.plan, reversed(budgets))) == plans[::-1]


@pytest.mark.parametrize("name", ["uneven_chain.csv", "even chain of 6", "U-Net, 1 level"])
def test_a_fresh_planner_has_the_plans_of_one_that_was_asked_before(name: str):
    run = small_networks()[name]
    asked = small_planner(run)
    least, most = asked.smallest().needed_bytes, asked.fastest().needed_bytes
    for share in range(8):
        budget = least + (most - least) * share // 8
        assert small_planner(run).plan(budget) == asked.plan(budget)


def test_bytes_of_operations_count_against_the_budget():
    run = network(6, [4] * 6)
    free = Planner(run, RATES, Memory(1), offload=False)
    dear = Planner(run, RATES, Memory(1, per_op=BIG), offload=False)
    assert dear.fastest().needed_bytes == free.fastest().needed_bytes + len(run.ops) * BIG
    smallest = dear.smallest()
    assert smallest.needed_bytes == smallest.peak_bytes + len(smallest.program.ops) * BIG
    # Fewer operations than where they are free: with as many it would need more.
    least = free.smallest()
    assert len(smallest.program.ops) < len(least.program.ops)
    assert smallest.needed_bytes < least.peak_bytes + len(least.program.ops) * BIG


def test_the_arena_is_no_smaller_than_what_it_holds_between_steps():
    run = network(6, [4] * 6)
    planner = Planner(run, RATES, Memory(1, least_arena=100 * BIG), offload=False)
    assert planner.plan(100 * BIG) == planner.fastest()
    assert planner.plan(100 * BIG - 1) is None


@pytest.mark.parametrize("name", FAST)
def test_no_plan_needs_less_than_the_bound(name: str):
    planner = small_planner(small_networks()[name])
    assert planner.least_bytes <= planner.smallest().needed_bytes


def test_a_trace_is_computed_once_and_no_further_than_asked():
    result: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            result.append(number)
            yield number

    trace = Trace(numbers())
    assert trace.first(lambda number: number == 2) == 2 and result == [0, 1, 2]
    assert list(trace) == list(trace) == [0, 1, 2, 3, 4] == result
    assert trace.first(lambda number: number > 4) is None


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


def test_an_operation_with_two_large_results():
    run = program(dict.fromkeys("xabG", BIG), [("f", "x", "ab"), ("g", "ab", "G")], "G", 1)
    plan = Planner(run, RATES, Memory(1), offload=False).fastest()
    assert plan.peak_bytes == 3 * BIG
