"""What a plan needs, in bytes and seconds, on its order."""

from __future__ import annotations

import pytest

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.decide.decide import Decider
from lowpeak_compiler.plan.liveness import peak_bytes
from lowpeak_compiler.plan.measure import NEAR, Measurer, Memory
from lowpeak_compiler.plan.program import Program
from lowpeak_compiler.plan.rematerialize import Decisions
from tests.plan.programs import program

RATES = Rates(flops=1, memory_bytes=1, disk_read_bytes=4.0, disk_write_bytes=2.0, seconds_per_op=0)
SIZES = {"x": 10, "a": 30, "b": 30, "c": 10, "d": 10}
OPS = [("f", "x", "a"), ("g", "a", "b"), ("h", "b", "c"), ("i", "ac", "d")]


def measurer(memory: Memory, step: Program | None = None) -> Measurer:
    step = step or program(SIZES, OPS, "d", 3)
    return Measurer(step, RATES, memory, Decider(step, RATES, True, memory.per_op))


@pytest.mark.parametrize(
    ("memory", "needed"),
    [
        (Memory(1), 70),
        (Memory(16), 80),
        (Memory(1, per_op=2.6), 70 + 11),
        (Memory(1, least_arena=60), 70),
        (Memory(1, per_op=2.6, least_arena=75), 75 + 11),
        (Memory(1, per_op=2.6, least_arena=200), 200 + 11),
    ],
)
def test_what_counts_against_a_budget(memory: Memory, needed: int) -> None:
    """Live bytes, but no less than the values' place takes; and what each operation takes, rounded up."""
    plan = measurer(memory).measure(Decisions())
    assert plan.needed_bytes == needed
    assert plan.peak_bytes == peak_bytes(plan.program, memory.alignment)


def test_a_plan_that_cannot_fit_is_not_put_in_another_order() -> None:
    measured = measurer(Memory(1, least_arena=75))
    plan = measured.measure(Decisions())
    assert measured.fitted(plan, 75) is plan
    # The values would fit; their place takes more.
    assert measured.fitted(plan, 74) is None
    assert measured.fitted(plan, int(75 / NEAR) - 1) is None


def test_decisions_that_nothing_needs_are_not_carried_out() -> None:
    """The backward reads a and c, which is kept: nobody reads b there."""
    plan = measurer(Memory(1)).measure(Decisions(frozenset("fg"), frozenset("b")))
    assert plan.carried_out == Decisions(frozenset("f"), frozenset())
    assert [op.copy_of for op in plan.program.ops if op.copy_of] == ["f"]


def test_a_measured_plan_is_kept() -> None:
    measured = measurer(Memory(1))
    assert measured.measure(Decisions(frozenset("f"))) is measured.measure(Decisions(frozenset("f")))
