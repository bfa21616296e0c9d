"""The validator accepts what is right and names what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.place.problem import Buffer, MemoryProblem, MemorySolution
from lowpeak_compiler.plan.place.validate import InvalidSolution, check
from tests.plan.instances import problems

PROBLEM = MemoryProblem(
    (Buffer("weights", 0, 4, 64, 16), Buffer("hidden", 0, 2, 32, 16), Buffer("gradient", 2, 4, 48, 16))
)
SOLUTION = MemorySolution((0, 64, 64), 112, 112)


def test_one_byte_is_too_many() -> None:
    problem = MemoryProblem((Buffer("a", 0, 1, 8, 1), Buffer("b", 0, 1, 8, 1)))
    check(problem, MemorySolution((0, 8), 16, 16))
    with pytest.raises(InvalidSolution, match="a and b share 1 bytes from offset 7"):
        check(problem, MemorySolution((0, 7), 15, 16))


def test_accepts_a_right_solution_with_touching_live_ranges_and_offsets() -> None:
    check(PROBLEM, SOLUTION)


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        (replace(SOLUTION, offsets=(0, 64)), "2 offsets for 3 buffers"),
        (replace(SOLUTION, offsets=(0, -16, 64)), "hidden: offset -16 is negative"),
        (replace(SOLUTION, offsets=(0, 72, 64)), "hidden: offset 72 is not a multiple of 16"),
        (
            replace(SOLUTION, offsets=(0, 48, 64)),
            r"weights and hidden share 16 bytes from offset 48 in steps \[0, 2\)",
        ),
        (
            replace(SOLUTION, offsets=(16, 80, 0), height=112),
            "gradient and weights share 32 bytes from offset 16",
        ),
        (replace(SOLUTION, height=128), "height is 112 bytes, the solution says 128"),
        (replace(SOLUTION, lower_bound=100), "lower bound is 112 bytes, the solution says 100"),
    ],
)
def test_names_the_fault(solution: MemorySolution, message: str) -> None:
    with pytest.raises(InvalidSolution, match=message):
        check(PROBLEM, solution)


def test_finds_an_overlap_hidden_inside_a_larger_buffer() -> None:
    buffers = (Buffer("outer", 0, 9, 100), Buffer("early", 0, 1, 10), Buffer("inner", 5, 6, 10))
    with pytest.raises(InvalidSolution, match="outer and inner share 10 bytes"):
        check(MemoryProblem(buffers), MemorySolution((0, 100, 50), 110, 110))


def test_buffers_without_bytes_never_overlap() -> None:
    buffers = (Buffer("a", 0, 2, 8), Buffer("empty", 0, 2, 0), Buffer("b", 1, 2, 8))
    check(MemoryProblem(buffers), MemorySolution((0, 4, 8), 16, 16))


@given(problems(), st.data())
def test_agrees_with_the_quadratic_definition(problem: MemoryProblem, data: st.DataObject) -> None:
    """Any offsets are accepted exactly when no pair overlaps in both time and bytes."""
    offsets = tuple(
        data.draw(st.integers(0, 8), label=buffer.id) * buffer.alignment for buffer in problem.buffers
    )
    height = max(offset + buffer.size for offset, buffer in zip(offsets, problem.buffers, strict=True))
    placed = list(zip(offsets, problem.buffers, strict=True))
    overlap = any(
        max(first.lower, second.lower) < min(first.upper, second.upper)
        and max(low, high) < min(low + first.size, high + second.size)
        for index, (low, first) in enumerate(placed)
        for high, second in placed[:index]
    )
    solution = MemorySolution(offsets, height, problem.lower_bound())
    if overlap:
        with pytest.raises(InvalidSolution, match="share"):
            check(problem, solution)
    else:
        check(problem, solution)


@given(problems(), st.data())
def test_rejects_mutated_solutions(problem: MemoryProblem, data: st.DataObject) -> None:
    solution = solve(problem, effort=0)
    index = data.draw(st.integers(0, len(problem.buffers) - 1))
    offset, buffer = solution.offsets[index], problem.buffers[index]

    def moved(to: int) -> MemorySolution:
        return replace(solution, offsets=(*solution.offsets[:index], to, *solution.offsets[index + 1 :]))

    mutants = [
        moved(offset - solution.height - buffer.alignment),
        replace(solution, height=solution.height + 1),
    ]
    mutants.append(replace(solution, offsets=solution.offsets[1:]))
    if buffer.alignment > 1:
        mutants.append(moved(offset + 1))
    for mutant in mutants:
        with pytest.raises(InvalidSolution):
            check(problem, mutant)
