"""The disk beside the processor: predicted times, and loads moved ahead of their use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.order.prefetch import prefetch
from lowpeak_compiler.plan.program import Io, Op, Program, Value
from lowpeak_compiler.plan.rematerialize import Decisions, carry_out
from lowpeak_compiler.plan.timeline import BUFFERED_BYTES, step_seconds
from tests.plan.test_rematerialize import chain

RATES = Rates(flops=1e9, memory_bytes=1e30, disk_read_bytes=1e6, disk_write_bytes=1e6, seconds_per_op=0)


def program(*ops: Op, sizes: dict[int, int] | None = None) -> Program:
    count = 1 + max(value for op in ops for value in (*op.reads, *op.writes))
    values = tuple(Value(f"v{i}", (sizes or {}).get(i, 10), Kind.ACTIVATION) for i in range(count))
    return Program(values, ops, frozenset({count - 1}))


def test_a_store_costs_the_processor_nothing_while_the_buffer_has_room():
    small = program(
        Op("make", (), (0,), 1, True),
        Op("store", (0,), (1,), 0, True, io=Io.WRITE, disk_seconds=5),
        Op("work", (), (2,), 2, True),
    )
    assert step_seconds(small) == 3


def test_a_store_larger_than_the_buffer_waits_for_what_does_not_fit():
    large = program(
        Op("make", (), (0,), 1, True),
        Op("store", (0,), (1,), 0, True, io=Io.WRITE, disk_seconds=8),
        Op("work", (), (2,), 2, True),
        sizes={0: 4 * BUFFERED_BYTES},
    )
    assert step_seconds(large) == 1 + 6 + 2


def offloaded(work: float, read: float, steps: int = 6) -> Program:
    """A value stored at the start and loaded at the end, with work between."""
    between = [Op(f"work{i}", (), (4 + i,), work, True) for i in range(steps)]
    return program(
        Op("make", (), (0,), 1, True),
        Op("store", (0,), (1,), 0, True, io=Io.WRITE, disk_seconds=0.5),
        *between,
        Op("load", (1,), (2,), 0, False, io=Io.READ, disk_seconds=read),
        Op("loaded", (2,), (3,), 0, False, ((3, 2),), io=Io.WAIT),
        Op("use", (3,), (4 + steps,), 1, False),
        sizes={1: 0},
    )


def test_reading_is_hidden_behind_the_work_before_its_use():
    run = offloaded(work=1, read=2.5)
    assert step_seconds(run) == 1 + 6 + 2.5 + 1
    early = prefetch(run, budget=1000, alignment=1)
    assert step_seconds(early) == 1 + 6 + 1
    names = [op.name for op in early.ops]
    assert names.index("load") + 1 == names.index("work3"), "no earlier than it takes to read"


def test_the_budget_bounds_how_early_a_value_comes_back():
    run = offloaded(work=1, read=2.5)
    assert step_seconds(prefetch(run, budget=19, alignment=1)) == step_seconds(run)
    early = prefetch(run, budget=20, alignment=1)
    assert max(live_bytes(early)) == 20
    assert step_seconds(early) < step_seconds(run)


def test_a_load_stays_behind_its_store():
    run = offloaded(work=1, read=100)
    names = [op.name for op in prefetch(run, budget=1000, alignment=1).ops]
    assert names.index("load") == names.index("store") + 1


def test_a_program_without_loads_is_left_alone():
    run = chain()
    assert prefetch(run, 10**9, 1) is run


@given(st.data())
def test_prefetching_never_costs_memory_over_the_budget_or_time(data: st.DataObject):
    run = chain()
    names = [value.name for value in run.values if value.kind is Kind.ACTIVATION]
    forward = {run.values[v].name for op in run.ops if op.forward for v in op.writes}
    away = frozenset(name for name in names if name in forward and data.draw(st.booleans()))
    decided = carry_out(run, Decisions(offload=away), RATES)
    peak = max(live_bytes(decided))
    budget = data.draw(st.integers(peak, 2 * peak))
    early = prefetch(decided, budget, alignment=1)
    assert sorted(op.name for op in early.ops) == sorted(op.name for op in decided.ops)
    assert max(live_bytes(early)) <= budget
    assert step_seconds(early) <= step_seconds(decided) + 1e-12
    defined = {v for v, value in enumerate(run.values) if value.kind in (Kind.ADAPTER, Kind.BATCH)}
    for op in early.ops:
        assert defined.issuperset(op.reads), f"{op.name} reads what is not there yet"
        defined.update(op.writes)
