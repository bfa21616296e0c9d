from __future__ import annotations

import dataclasses
from itertools import pairwise

from hypothesis import given

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.liveness import live_bytes, live_ranges, memory_problem, peak_by_kind
from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.place.validate import check
from lowpeak_compiler.plan.program import Program
from tests.plan.programs import program, random_programs

CHAIN = [("f", "x", "a"), ("g", "a", "b"), ("h", "b", "c")]
SIZES = {"x": 8, "a": 8, "b": 8, "c": 8}


def with_kind(original: Program, name: str, kind: Kind) -> Program:
    values = tuple(dataclasses.replace(v, kind=kind) if v.name == name else v for v in original.values)
    return dataclasses.replace(original, values=values)


def test_live_ranges_of_a_chain():
    live = live_ranges(program(SIZES, CHAIN, "c", 3))
    assert live.lower == (0, 0, 1, 2)
    assert live.upper == (1, 2, 3, 3)
    assert live.buffer == (0, 1, 2, 3)
    assert live_bytes(program(SIZES, CHAIN, "c", 3)) == [16, 16, 16]


def test_a_value_that_nobody_reads_has_memory_while_it_is_made():
    unread = program({"x": 8, "a": 8, "b": 8}, [("f", "x", "a"), ("g", "x", "b")], "b", 2)
    live = live_ranges(unread)
    assert (live.lower[1], live.upper[1]) == (0, 1)
    assert live_bytes(unread) == [16, 16]
    problem, index = memory_problem(unread, 1)
    assert [buffer.id for buffer in problem.buffers] == ["x", "a", "b"] and index == (0, 1, 2)


def test_what_is_live_at_the_peak_by_kind():
    """Neither what dies before it, nor what is born after; rounded up, and what is taken over once."""
    chain = with_kind(program({"x": 2, "a": 4, "b": 8, "c": 1}, CHAIN, "c", 3), "x", Kind.BATCH)
    assert live_bytes(chain) == [6, 12, 9]
    assert peak_by_kind(chain) == {Kind.ACTIVATION: 12}
    assert peak_by_kind(chain, 16) == {Kind.BATCH: 16, Kind.ACTIVATION: 16}
    taken_over = program(SIZES, CHAIN, "c", 3, in_place=True)
    assert peak_by_kind(taken_over) == {Kind.BATCH: 8}


def test_a_value_takes_over_an_operand_that_dies():
    chain = program(SIZES, CHAIN, "c", 3, in_place=True)
    assert live_ranges(chain).buffer == (0, 0, 0, 0)
    assert live_bytes(chain) == [8, 8, 8]
    problem, index = memory_problem(chain, 1)
    assert [(b.lower, b.upper, b.size) for b in problem.buffers] == [(0, 3, 8)]
    assert index == (0, 0, 0, 0)


def test_an_operand_that_is_read_later_is_not_taken_over():
    ops = [("f", "x", "a"), ("g", "a", "b"), ("h", "ab", "c")]
    live = live_ranges(program(SIZES, ops, "c", 3, in_place=True))
    assert live.buffer[2] == 2
    assert live.buffer[3] == live.buffer[1] == 0


def test_a_result_is_not_taken_over():
    live = live_ranges(program(SIZES, [("f", "x", "a"), ("g", "a", "b")], "ab", 2, in_place=True))
    assert live.upper[1] == 2
    # g is the last step, but a has to be there after it.
    assert live.buffer[2] != live.buffer[1]


def test_an_adapter_is_not_taken_over_and_lives_to_the_end():
    chain = with_kind(program(SIZES, CHAIN, "c", 3, in_place=True), "x", Kind.ADAPTER)
    live = live_ranges(chain)
    assert live.buffer == (0, 1, 1, 1)
    assert live.upper[0] == 3
    assert live_bytes(chain) == [16, 16, 16]


def test_a_value_of_another_size_is_not_taken_over():
    live = live_ranges(program({**SIZES, "b": 4}, CHAIN, "c", 3, in_place=True))
    assert live.buffer == (0, 0, 2, 3)


def test_two_results_of_an_operation_have_memory_of_their_own():
    live = live_ranges(program(SIZES, [("f", "x", "ab")], "ab", 1, in_place=True))
    assert live.buffer == (0, 0, 2, 3)


def test_two_results_of_an_operation_take_over_two_operands():
    live = live_ranges(program(SIZES, [("f", "x", "a"), ("g", "xa", "bc")], "bc", 2, in_place=True))
    assert live.buffer == (0, 1, 0, 1)


def test_a_result_takes_over_only_what_is_said_of_it():
    pair = program(SIZES, [("f", "x", "a"), ("g", "xa", "bc")], "bc", 2)
    added = dataclasses.replace(pair.ops[1], in_place=((3, 0),))
    live = live_ranges(dataclasses.replace(pair, ops=(pair.ops[0], added)))
    assert live.buffer == (0, 1, 2, 0)


def test_values_without_bytes_need_no_buffer():
    unused = program({**SIZES, "z": 0}, [*CHAIN, ("k", "c", "z")], "cz", 3)
    problem, index = memory_problem(unused, 16)
    assert index == (0, 1, 2, 3, -1)
    assert all(b.alignment == 16 for b in problem.buffers)


def test_sizes_are_rounded_up_to_the_alignment():
    assert live_bytes(program(SIZES, CHAIN, "c", 3), alignment=16) == [32, 32, 32]


@given(random_programs())
def test_the_arena_is_what_is_live(run):
    problem, index = memory_problem(run, 1)
    solution = solve(problem)
    check(problem, solution)
    assert solution.lower_bound == max(live_bytes(run))
    live = live_ranges(run)
    for value, buffer in enumerate(index):
        if buffer >= 0:
            block = problem.buffers[buffer]
            assert block.lower <= live.lower[value] < live.upper[value] <= block.upper
            assert run.values[value].nbytes == block.size


@given(random_programs())
def test_what_shares_a_buffer_hands_it_on_at_one_step(run):
    """Only the operation that reads the old value last and writes the new one sees both."""
    live = live_ranges(run)
    members: dict[int, list[int]] = {}
    for value, root in enumerate(live.buffer):
        members.setdefault(root, []).append(value)
    for values in members.values():
        ordered = sorted(values, key=lambda v: (live.lower[v], live.upper[v]))
        for earlier, later in pairwise(ordered):
            assert live.upper[earlier] == live.lower[later] + 1
