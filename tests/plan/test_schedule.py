from __future__ import annotations

from hypothesis import given

from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.order.schedule import schedule
from tests.plan.programs import expressions, program, random_programs


@given(random_programs())
def test_the_peak_is_not_raised_and_every_value_stays(run):
    better = schedule(run)
    assert max(live_bytes(better)) <= max(live_bytes(run))
    assert sorted(op.name for op in better.ops) == sorted(op.name for op in run.ops)
    assert expressions(better) == expressions(run)


@given(random_programs())
def test_a_second_time_does_not_raise_it_either(run):
    once = schedule(run)
    assert max(live_bytes(schedule(once))) <= max(live_bytes(once))


def test_recomputation_moves_to_its_use():
    """Both big values are made first and reduced later; pulled, only one is there at a time."""
    sizes = {"x": 1, "a": 100, "b": 100, "c": 1, "d": 1}
    ops = [("make a", "x", "a"), ("make b", "x", "b"), ("reduce a", "a", "c"), ("reduce b", "b", "d")]
    run = program(sizes, ops, "cd", 2)
    better = schedule(run)
    assert [op.name for op in better.ops] == ["make a", "reduce a", "make b", "reduce b"]
    assert max(live_bytes(run)) == 201
    assert max(live_bytes(better)) == 102


def test_an_order_that_is_as_good_is_kept():
    run = program({"x": 1, "a": 1, "b": 1}, [("f", "x", "a"), ("g", "a", "b")], "b", 2)
    assert schedule(run) is run


def test_a_result_that_is_kept_is_not_freed_by_its_last_reader():
    """To run that early would hold s, which is as large, beside everything else."""
    sizes = {"x": 1, "r": 150, "a": 100, "b": 100, "c": 1, "d": 1, "s": 150, "e": 1}
    ops = [("make r", "x", "r"), ("make a", "x", "a"), ("make b", "x", "b"), ("reduce a", "a", "c")]
    ops += [("reduce b", "b", "d"), ("make s", "r", "s"), ("reduce s", "sd", "e")]
    run = program(sizes, ops, "rce", 7)
    assert max(live_bytes(run)) == 351
    assert max(live_bytes(schedule(run))) == 303
