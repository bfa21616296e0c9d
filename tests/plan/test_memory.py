"""The offset solver: always valid, optimal where that is known, near the bound on training steps."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowpeak_artifact.errors import DataError
from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.place.problem import Buffer, MemoryProblem, MemorySolution, read_csv, write_csv
from tests.plan.instances import problems, random_live_ranges, training_step

INSTANCES = Path(__file__).parent / "instances"


@given(problems())
def test_every_solution_is_valid_and_no_lower_than_the_bound(problem: MemoryProblem) -> None:
    solution = solve(problem, effort=200)
    assert solution.height >= solution.lower_bound == problem.lower_bound()
    assert len(solution.offsets) == len(problem.buffers)


@pytest.mark.parametrize("path", sorted(INSTANCES.glob("*.csv")), ids=lambda path: path.stem)
def test_reaches_the_known_optimum(path: Path) -> None:
    """Each file holds a problem beside a solution of least height."""
    problem, known = read_csv(path)
    assert known is not None
    assert solve(problem).height == known.height


def test_nothing_to_place() -> None:
    assert solve(MemoryProblem(())) == MemorySolution((), 0, 0)
    assert solve(MemoryProblem((Buffer("empty", 0, 1, 0, 64),))) == MemorySolution((0,), 0, 0)


def test_alignment_pads_all_but_the_topmost_buffer() -> None:
    problem = MemoryProblem((Buffer("a", 0, 1, 65, 64), Buffer("b", 0, 1, 100, 64)))
    solution = solve(problem)
    assert solution.lower_bound == 165
    assert solution.height == 64 * 2 + 65


def test_mixed_and_odd_alignments() -> None:
    problem = MemoryProblem((Buffer("a", 0, 2, 5, 3), Buffer("b", 1, 3, 7, 16), Buffer("c", 0, 3, 1, 1)))
    assert solve(problem).height == 14


def test_negative_and_distant_steps() -> None:
    problem = MemoryProblem((Buffer("a", -(2**40), 2**40, 8), Buffer("b", 0, 1, 8), Buffer("c", 1, 2, 8)))
    assert solve(problem).height == 16


def test_same_problem_same_solution() -> None:
    problem = random_live_ranges(300, seed=1)
    assert solve(problem, effort=3000) == solve(problem, effort=3000)


def test_more_effort_is_never_worse() -> None:
    problem = random_live_ranges(200, seed=0)
    greedy, searched = solve(problem, effort=0), solve(problem)
    assert greedy.height > searched.height


def test_capacity_ends_the_search_early() -> None:
    """A height that is enough is not improved, though it could be; one that is not, is searched for."""
    problem = random_live_ranges(200, seed=0)
    greedy, best = solve(problem, effort=0), solve(problem)
    assert best.height < greedy.height
    enough = solve(problem, capacity=greedy.height)
    assert best.height < enough.height <= greedy.height
    assert solve(problem, capacity=best.height).height == best.height
    assert solve(problem, capacity=0) == best


@pytest.mark.parametrize("layers,tiles", [(2, 1), (4, 1), (8, 2), (16, 1), (16, 4), (28, 2)])
@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])
def test_training_steps_come_within_a_percent_of_the_bound(layers: int, tiles: int, seed: int) -> None:
    problem = training_step(layers, tiles, seed)
    enough = problem.lower_bound() * 101 // 100
    assert solve(problem, capacity=enough).height <= enough


def test_training_step_without_slack_at_any_layer() -> None:
    """Seed 2 frees a layer's checkpoints for gradients of exactly as many bytes: every layer is a full peak.

    The bound may be out of reach here; the assertion keeps what the search is known to find.
    """
    problem = training_step(8, 2, seed=2)
    enough = problem.lower_bound() * 104 // 100
    assert solve(problem, capacity=enough).height <= enough


@pytest.mark.thorough
def test_time_grows_little_faster_than_the_number_of_buffers() -> None:
    def seconds(buffers: int) -> float:
        start = time.process_time()
        solution = solve(random_live_ranges(buffers, seed=0))
        assert solution.height <= 1.15 * solution.lower_bound
        return time.process_time() - start

    assert seconds(10_000) < 30 * seconds(1000)


@pytest.mark.parametrize(
    "arguments",
    [("", 0, 1, 1, 0), ("", 1, 1, 1, 1), ("", 0, 1, -1, 1), ("", 0, 2**62, 1, 1)],
    ids=["alignment", "live range", "size", "range"],
)
def test_buffers_that_make_no_sense(arguments: tuple[str, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="buffer"):
        Buffer(*arguments)


def test_problems_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="buffer id a occurs twice"):
        MemoryProblem((Buffer("a", 0, 1, 1), Buffer("a", 0, 1, 1)))
    with pytest.raises(ValueError, match=r"2\*\*62"):
        MemoryProblem((Buffer("a", 0, 1, 2**61), Buffer("b", 0, 1, 2**61)))


_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@given(problems(), st.lists(_NAMES, min_size=20, max_size=20, unique=True))
def test_csv_round_trip(
    tmp_path_factory: pytest.TempPathFactory, problem: MemoryProblem, names: list[str]
) -> None:
    fields = [(b.lower, b.upper, b.size, b.alignment) for b in problem.buffers]
    problem = MemoryProblem(tuple(Buffer(name, *row) for name, row in zip(names, fields, strict=False)))
    path = tmp_path_factory.mktemp("csv") / "problem.csv"
    write_csv(path, problem)
    assert read_csv(path) == (problem, None)
    solution = solve(problem, effort=0)
    write_csv(path, problem, solution)
    assert read_csv(path) == (problem, solution)


def test_csv_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "problem.csv"
    path.write_text(
        "\ufeffsize,buffer_id, start,end,comment\r\n8,a,0,2,x\r\n\r\n16,b,1,3,\r\n", encoding="utf-8"
    )
    assert read_csv(path) == (MemoryProblem((Buffer("a", 0, 2, 8), Buffer("b", 1, 3, 16))), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: column id is missing"),
        ("id,lower,upper\n", "1: column size is missing"),
        ("id,lower,upper,size,start\n", "1: a column occurs twice"),
        ("id,lower,upper,size\na,0,1,8\nb,0,1\n", "3: 3 fields, the header has 4"),
        ("id,lower,upper,size\na,0,x,8\n", "2: upper is 'x', not an integer"),
        ("id,lower,upper,size\na,1,1,8\n", r"2: buffer a: the live range \[1, 1\) is empty"),
        ("id,lower,upper,size\na,0,1,-8\n", "2: buffer a: size -8 is negative"),
        ("id,lower,upper,size\na,0,1,8\n\na,0,1,8\n", "4: buffer id a is already on line 2"),
        ("id,lower,upper,size,offset\na,0,1,8,\n", "2: offset is '', not an integer"),
        (f"id,lower,upper,size\na,0,1,{2**62}\n", r" the sizes and alignments sum up to 2\*\*62"),
    ],
)
def test_malformed_csv_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="bad.csv:" + message):
        read_csv(path)


def test_unreadable_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: cannot be read"):
        read_csv(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"binary\.csv: cannot be read"):
        read_csv(tmp_path / "binary.csv")


def _plan(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lowpeak_compiler.plan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_command_line_solves_and_checks(tmp_path: Path) -> None:
    problem, solution = tmp_path / "problem.csv", tmp_path / "solution.csv"
    problem.write_text("id,lower,upper,size\na,0,2,8\nb,1,3,16\nc,2,3,8\n", encoding="utf-8")

    printed = _plan("memory", problem)
    assert printed.returncode == 0
    summary, *offsets = printed.stdout.splitlines()
    assert summary.startswith("height=24 lower_bound=24 ratio=1.0 seconds=")
    assert sorted(line.split()[0] for line in offsets) == ["a", "b", "c"]

    record = json.loads(_plan("memory", problem, "--json").stdout)
    assert record["height"] == 24
    assert set(record["offsets"]) == {"a", "b", "c"}

    assert _plan("memory", problem, "--out", solution).returncode == 0
    assert _plan("check", solution).stdout == "valid height=24 lower_bound=24\n"


def test_command_line_exit_codes(tmp_path: Path) -> None:
    problem, solution = tmp_path / "problem.csv", tmp_path / "solution.csv"
    problem.write_text("id,lower,upper,size\na,0,2,8\nb,1,3,16\n", encoding="utf-8")
    solution.write_text("id,lower,upper,size,offset\na,0,2,8,0\nb,1,3,16,4\n", encoding="utf-8")
    for arguments, code, message in (
        (("memory", problem, "--capacity", "20"), 1, "height 24 exceeds the capacity of 20 bytes"),
        (("check", solution), 1, "invalid: buffers a and b share 4 bytes"),
        (("check", problem), 2, "column offset is missing"),
        (("memory", tmp_path / "absent.csv"), 2, "absent.csv: cannot be read"),
        (("memory", problem, "--out", tmp_path / "no" / "dir.csv"), 2, "dir.csv: cannot be written"),
        (("memory",), 2, "the following arguments are required: problem"),
    ):
        finished = _plan(*arguments)
        assert finished.returncode == code
        assert message in finished.stderr
        assert "Traceback" not in finished.stderr
