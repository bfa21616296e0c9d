"""When operations run while the disk works beside the processor."""

from __future__ import annotations

import pytest

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.program import Io, Op, Program, Value
from lowpeak_compiler.plan.timeline import start_seconds, step_seconds

MIB = 1 << 20


def stored_and_loaded(nbytes: int, between: float) -> Program:
    """a is made in 1 s, written in 8 s, and read in 4 s while another operation takes `between` seconds."""
    names = ("a", "token", "coming", "back", "c", "d")
    values = tuple(Value(name, nbytes, Kind.ACTIVATION) for name in names)
    ops = (
        Op("a", (), (0,), 1.0, True),
        Op("store", (0,), (1,), 0.5, True, io=Io.WRITE, disk_seconds=8.0),
        Op("load", (1,), (2,), 0.25, False, io=Io.READ, disk_seconds=4.0),
        Op("c", (), (4,), between, False),
        Op("loaded", (2,), (3,), 0.25, False, io=Io.WAIT),
        Op("d", (3,), (5,), 1.0, False),
    )
    return Program(values, ops, frozenset({5}))


def test_operations_without_the_disk_run_one_after_the_other():
    ops = (Op("a", (), (0,), 1.0, True), Op("b", (0,), (1,), 2.5, True))
    values = (Value("a", 8, Kind.ACTIVATION), Value("b", 8, Kind.ACTIVATION))
    assert list(start_seconds(Program(values, ops, frozenset({1})))) == [0.0, 1.0, 3.5]


def test_a_store_that_the_buffer_holds_takes_the_processor_no_time():
    starts = list(start_seconds(stored_and_loaded(2 * MIB, between=1.0)))
    # The disk writes from 1.5 to 9.5 s and then reads until 13.5 s.
    assert starts == pytest.approx([0.0, 1.0, 1.5, 1.75, 2.75, 13.5, 14.5])


def test_a_store_waits_for_what_the_buffer_does_not_hold():
    starts = list(start_seconds(stored_and_loaded(8 * MIB, between=1.0)))
    # A quarter is in the buffer: three quarters of 8 s are waited for.
    assert starts[2] == pytest.approx(1.5 + 6.0)


def test_reading_is_hidden_behind_what_runs_meanwhile():
    assert step_seconds(stored_and_loaded(2 * MIB, between=20.0)) == pytest.approx(1.75 + 20.0 + 0.25 + 1.0)


def test_a_disk_that_is_idle_reads_from_when_it_is_asked():
    """Not from when its last request was done: here there was none."""
    values = (
        Value("a", 8, Kind.ACTIVATION),
        Value("coming", 8, Kind.ACTIVATION),
        Value("back", 8, Kind.ACTIVATION),
    )
    ops = (
        Op("a", (), (0,), 3.0, True),
        Op("load", (0,), (1,), 0.5, False, io=Io.READ, disk_seconds=4.0),
        Op("loaded", (1,), (2,), 0.25, False, io=Io.WAIT),
    )
    assert list(start_seconds(Program(values, ops, frozenset({2})))) == [0.0, 3.0, 3.5, 7.5]
