"""Results that are taken by the operation that makes them: they are results, and do not live to the end."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.program_view import program_view
from lowpeak_compiler.budget.targets import EXECUTORCH, ONNXRUNTIME
from lowpeak_compiler.config import MEGABYTE
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.liveness import live_bytes, live_ranges, memory_problem
from lowpeak_compiler.plan.measure import Memory
from lowpeak_compiler.plan.order.schedule import schedule
from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.place.validate import check
from lowpeak_compiler.plan.planner import Planner
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions, carry_out
from tests.plan.programs import expressions, program, random_programs
from tests.tiny import planned_step, tiny_llama

RATES = Rates(flops=1, memory_bytes=1, disk_read_bytes=4.0, disk_write_bytes=2.0, seconds_per_op=0)


def taking(original: Program, names: str) -> Program:
    """The program that does not keep the results of these names (one letter each)."""
    index = {value.name: number for number, value in enumerate(original.values)}
    return dataclasses.replace(original, taken=frozenset(index[name] for name in names))


def two_gradients() -> Program:
    """x -> a -> loss l; gradients g of a and h of x, both large; g is read for h."""
    sizes = {"x": 8, "a": 8, "l": 4, "g": 100, "h": 100}
    ops = [("a", "x", "a"), ("l", "a", "l"), ("g", "a", "g"), ("h", "xg", "h"), ("end", "l", "l2")]
    return program({**sizes, "m": 4}, [(n, r, "m" if w == "l2" else w) for n, r, w in ops], "lghm", 2)


def test_kept_is_what_is_not_taken():
    run = two_gradients()
    assert run.taken == frozenset() and run.kept == run.results
    taken = taking(run, "gh")
    assert taken.results == run.results
    assert {run.values[value].name for value in taken.kept} == {"l", "m"}


def test_taken_results_live_until_their_last_use():
    run = two_gradients()
    names = [value.name for value in run.values]
    kept, taken = live_ranges(run), live_ranges(taking(run, "gh"))
    before = dict(zip(names, zip(kept.lower, kept.upper, strict=True), strict=True))
    after = dict(zip(names, zip(taken.lower, taken.upper, strict=True), strict=True))
    assert (before["g"], before["h"]) == ((2, 5), (3, 5))
    # h has no use: it is there while its operation runs.
    assert (after["g"], after["h"]) == ((2, 4), (3, 4))
    assert {name: after[name] for name in "xalm"} == {name: before[name] for name in "xalm"}
    assert live_bytes(run) == [16, 20, 120, 212, 208]
    assert live_bytes(taking(run, "gh")) == [16, 20, 120, 212, 8]


def test_a_taken_result_may_be_taken_over_in_place():
    chain = program(dict.fromkeys("xgh", 8), [("g", "x", "g"), ("h", "g", "h")], "gh", 1, in_place=True)
    assert live_ranges(chain).buffer == (0, 0, 2)
    assert live_ranges(taking(chain, "g")).buffer == (0, 0, 0)
    assert live_bytes(taking(chain, "g")) == [8, 8]


def test_gradients_share_one_place():
    """Three gradients, one after the other: kept they lie side by side, taken on the same bytes."""
    ops = [("f", "x", "a"), ("g", "a", "g"), ("h", "a", "h"), ("k", "a", "k")]
    run = program({"x": 8, "a": 8, "g": 64, "h": 64, "k": 64}, ops, "ghk", 1)
    assert solve(memory_problem(run, 1)[0]).height == 8 + 3 * 64
    assert solve(memory_problem(taking(run, "ghk"), 1)[0]).height == 8 + 64


def test_the_schedule_makes_taken_results_as_soon_as_it_can():
    """Each gradient needs a large value of its own: taken, no two of these are there at a time."""
    ops = [
        ("make a", "x", "a"), ("make b", "x", "b"), ("grad a", "a", "g"), ("grad b", "b", "h"),
    ]  # fmt: skip
    run = taking(program({"x": 1, "a": 100, "b": 100, "g": 50, "h": 50}, ops, "gh", 2), "gh")
    better = schedule(run)
    assert [op.name for op in better.ops] == ["make a", "grad a", "make b", "grad b"]
    assert (max(live_bytes(run)), max(live_bytes(better))) == (250, 151)
    assert better.taken == run.taken


@st.composite
def random_taking_programs(draw: st.DrawFn) -> Program:
    run = draw(random_programs())
    return dataclasses.replace(run, taken=frozenset(value for value in run.results if draw(st.booleans())))


@given(random_taking_programs())
def test_taking_never_needs_more_and_keeps_what_is_kept(run):
    keeping = dataclasses.replace(run, taken=frozenset())
    live, end = live_ranges(run), len(run.ops)
    assert all(less <= more for less, more in zip(live_bytes(run), live_bytes(keeping), strict=True))
    uses = {value: step for step, op in enumerate(run.ops) for value in (*op.writes, *op.reads)}
    for value in run.results:
        persistent = run.values[value].kind is Kind.ADAPTER
        assert live.upper[value] == (end if value in run.kept or persistent else uses[value] + 1)


@given(random_taking_programs())
def test_the_schedule_reaches_every_result(run):
    better = schedule(run)
    assert max(live_bytes(better)) <= max(live_bytes(run))
    assert sorted(op.name for op in better.ops) == sorted(op.name for op in run.ops)
    assert expressions(better) == expressions(run)
    assert (better.results, better.taken) == (run.results, run.taken)
    for ordered in (run, better):
        problem, _ = memory_problem(ordered, 1)
        check(problem, solve(problem))


@given(random_taking_programs(), st.data())
def test_recomputation_leaves_what_is_taken(run, data):
    recompute = {op.name for op in run.ops if op.forward and data.draw(st.booleans())}
    decided = carry_out(run, Decisions(frozenset(recompute)), RATES)
    assert (decided.results, decided.taken) == (run.results, run.taken)
    before, after = expressions(run), expressions(decided)
    assert {value: after[value] for value in run.results} == {value: before[value] for value in run.results}


def test_plans_fit_smaller_budgets_when_gradients_are_taken():
    """f makes a large value; its gradients g, h are as large, and k is all that comes after them."""
    sizes = {"x": 1, "a": 8, "l": 1, "g": 8, "h": 8, "k": 8}
    ops = [("a", "x", "a"), ("l", "a", "l"), ("g", "a", "g"), ("h", "a", "h"), ("k", "a", "k")]
    run = program({name: size * MEGABYTE for name, size in sizes.items()}, ops, "lghk", 2)
    kept, taken = (Planner(each, RATES, Memory(1), offload=False) for each in (run, taking(run, "ghk")))
    assert kept.fastest().peak_bytes == 33 * MEGABYTE
    plan = taken.plan(17 * MEGABYTE)
    assert plan is not None and kept.plan(32 * MEGABYTE) is None
    assert plan.peak_bytes == max(live_bytes(plan.program)) == 17 * MEGABYTE
    assert {op.name for op in plan.program.ops} == {op.name for op in run.ops}


def test_gradients_are_taken_where_the_target_has_buffers_for_them():
    tiny = planned_step(tiny_llama(num_hidden_layers=1), bits=None)
    views = {
        target.name: program_view(tiny.graph, target, device("laptop"))
        for target in (EXECUTORCH, ONNXRUNTIME)
    }
    assert views["executorch"].program.taken == frozenset()
    found = views["onnxruntime"]
    loss, *gradients = (found.locations[node.name][0].value for node in tiny.graph.results)
    assert found.program.taken == frozenset(gradients)
    assert found.program.kept == {loss}
    assert {found.program.values[value].kind for value in gradients} == {Kind.GRADIENT}
