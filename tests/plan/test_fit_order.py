"""Orders within a budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.order.fit_order import WIDTH, order_within
from lowpeak_compiler.plan.program import Program
from tests.plan.programs import expressions, program, random_programs


def two_reductions() -> Program:
    """Both big values are made first and reduced later."""
    sizes = {"x": 1, "a": 100, "b": 100, "c": 1, "d": 1}
    ops = [("make a", "x", "a"), ("make b", "x", "b"), ("reduce a", "a", "c"), ("reduce b", "b", "d")]
    return program(sizes, ops, "cd", 2)


def test_an_order_that_fits_is_found_and_no_other():
    run = two_reductions()
    assert order_within(run, 201, 1) is run
    fitting = order_within(run, 102, 1)
    assert fitting is not None and max(live_bytes(fitting)) == 102
    assert expressions(fitting) == expressions(run)
    assert order_within(run, 101, 1) is None


def test_sizes_are_rounded_up():
    run = two_reductions()
    assert order_within(run, 128 + 64 + 64, 64) is not None
    assert order_within(run, 128 + 64 + 63, 64) is None


@pytest.mark.parametrize("pairs", [1, WIDTH // 2, 4 * WIDTH])
def test_every_step_that_exceeds_is_looked_at(pairs: int):
    """Pairs of big values in a row, each made before the first is reduced; more than a window holds."""
    letters = [chr(0x4E00 + i) for i in range(4 * pairs)]
    sizes = {"x": 1} | {name: 1000 if i % 4 < 2 else 1 for i, name in enumerate(letters)}
    ops = []
    for a, b, c, d in zip(*(letters[i::4] for i in range(4)), strict=True):
        ops += [(f"make {a}", "x", a), (f"make {b}", "x", b), (f"reduce {a}", a, c), (f"reduce {b}", b, d)]
    run = program(sizes, ops, "".join(n for i, n in enumerate(letters) if i % 4 > 1), len(ops))
    limit = 1000 + 1 + 2 * pairs
    fitting = order_within(run, limit, 1)
    assert max(live_bytes(run)) > limit
    if pairs > WIDTH:  # A bounded number of buckets.
        assert fitting is None
    else:
        assert fitting is not None and max(live_bytes(fitting)) <= limit


@given(random_programs(), st.floats(0.5, 1.0))
def test_what_is_found_fits_and_computes_the_same(run: Program, share: float):
    budget = int(share * max(live_bytes(run)))
    fitting = order_within(run, budget, 1)
    if fitting is not None:
        assert max(live_bytes(fitting)) <= budget
        assert expressions(fitting) == expressions(run)


def test_a_result_that_is_kept_is_not_freed_by_its_last_reader():
    """What reads r frees nothing, so the operation that frees y has to run before it."""
    sizes = {"x": 1, "y": 20, "v": 1, "r": 10, "t": 1, "s": 10, "w": 10, "z": 1, "o": 1}
    ops = [("P", "x", "rt"), ("Q", "r", "s"), ("B", "vt", "w"), ("A", "yt", "z"), ("F", "swz", "o")]
    run = program(sizes, ops, "ro", 5)
    assert max(live_bytes(run)) > 50
    fitting = order_within(run, 42, 1)
    assert fitting is not None and max(live_bytes(fitting)) <= 42
