"""The mixed-integer program's decisions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions
from tests.plan.programs import program

MB = 1_000_000
RATES = Rates(flops=1, memory_bytes=1, disk_read_bytes=MB, disk_write_bytes=MB, seconds_per_op=0)


def chain(seconds: dict[str, float]) -> Program:
    """x -> a -> b -> c, the backward reads a, b and c; each of 10 MB."""
    sizes = dict.fromkeys("xabcCBA", 10 * MB)
    ops = [
        ("a", "x", "a"), ("b", "a", "b"), ("c", "b", "c"),
        ("C", "c", "C"), ("B", "bC", "B"), ("A", "aB", "A"),
    ]  # fmt: skip
    run = program(sizes, ops, "A", 3)
    return replace(run, ops=tuple(replace(op, seconds=seconds.get(op.name, 1.0)) for op in run.ops))


def decider(run: Program, *, offload: bool = False, bytes_per_op: float = 0.0) -> Decider:
    return Decider(run, RATES, offload, bytes_per_op)


def beside(made: Decider) -> np.ndarray:
    return np.zeros(len(made.buckets), dtype=np.int64)


@pytest.mark.parametrize("cheap", "ab")
def test_the_cheapest_that_frees_enough_runs_again(cheap: str):
    solver = decider(chain({cheap: 0.5}))
    assert solver.decide(30 * MB, beside(solver)) == Decisions()
    assert solver.decide(20 * MB, beside(solver)) == Decisions(frozenset(cheap))


def test_what_lies_beside_counts():
    solver = decider(chain({"a": 0.5}))
    assert solver.decide(30 * MB, beside(solver) + 10 * MB) == Decisions(frozenset("a"))


def test_the_disk_is_used_where_it_is_faster():
    solver = decider(chain({name: 100.0 for name in "abc"}), offload=True)
    found = solver.decide(20 * MB, beside(solver))
    assert found is not None and not found.recompute and len(found.offload) == 1


def test_what_costs_nothing_is_not_kept():
    solver = decider(chain({"a": 0.0}))
    assert solver.unbounded() == Decisions(frozenset("a"))


def test_the_least_budget_has_decisions_and_none_below():
    solver = decider(chain({}))
    least = solver.least(beside(solver))
    assert solver.decide(least, beside(solver)) is not None
    assert solver.decide(least - 100, beside(solver)) is None
    assert solver.least(beside(solver) + 7 * MB) == pytest.approx(least + 7 * MB, abs=100)


def test_bytes_of_operations_count():
    """Six operations, and one for each that runs again."""
    solver = decider(chain({"a": 0.5}), bytes_per_op=MB)
    assert solver.decide(30 * MB + 6 * MB, beside(solver)) == Decisions()
    assert solver.decide(20 * MB + 7 * MB, beside(solver)) == Decisions(frozenset("a"))
    assert solver.decide(20 * MB + 6 * MB, beside(solver)) != Decisions(frozenset("a"))


def test_questions_do_not_change_answers():
    solver = decider(chain({"a": 0.5, "b": 0.7}), offload=True)
    budgets = [10 * MB, 15 * MB, 20 * MB, 25 * MB, 30 * MB] * 4
    fresh = [decider(chain({"a": 0.5, "b": 0.7}), offload=True).decide(b, beside(solver)) for b in budgets]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda budget: solver.decide(budget, beside(solver)), budgets)) == fresh
