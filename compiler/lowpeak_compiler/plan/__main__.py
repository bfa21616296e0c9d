"""Solve and check offset problems in CSV files: `python -m lowpeak_compiler.plan memory problem.csv`.

Exit codes: 0 solved or valid; 1 a height above --capacity, or an invalid solution; 2 malformed input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from lowpeak_artifact.errors import DataError, LowpeakError
from lowpeak_compiler.plan.place.memory import solve
from lowpeak_compiler.plan.place.problem import read_csv, write_csv
from lowpeak_compiler.plan.place.validate import InvalidSolution, check


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lowpeak_compiler.plan", description="Offsets of buffers in one arena."
    )
    commands = parser.add_subparsers(required=True)
    memory = commands.add_parser("memory", help="solve a problem: id,lower,upper,size[,alignment]")
    memory.add_argument("problem", type=Path)
    memory.add_argument("--out", type=Path, help="write the solution as CSV instead of printing the offsets")
    memory.add_argument("--capacity", type=int, help="bytes; stop at this height, exit with 1 above it")
    memory.add_argument("--json", action="store_true", help="print one JSON object")
    memory.set_defaults(run=_memory)
    validate = commands.add_parser("check", help="validate a solution: a problem with an offset column")
    validate.add_argument("solution", type=Path)
    validate.set_defaults(run=_check)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except LowpeakError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if error.user_mistake else 1


def _memory(options: argparse.Namespace) -> int:
    problem, _ = read_csv(options.problem)
    start = time.perf_counter()
    solution = solve(problem, capacity=options.capacity)
    seconds = time.perf_counter() - start
    ratio = solution.height / solution.lower_bound if solution.lower_bound else 1.0
    summary = {
        "height": solution.height,
        "lower_bound": solution.lower_bound,
        "ratio": round(ratio, 6),
        "seconds": round(seconds, 3),
    }
    offsets = {buffer.id: offset for buffer, offset in zip(problem.buffers, solution.offsets, strict=True)}
    if options.out:
        try:
            write_csv(options.out, problem, solution)
        except OSError as error:
            raise DataError(f"{options.out}: cannot be written: {error}") from error
    if options.json:
        print(json.dumps(summary if options.out else summary | {"offsets": offsets}))
    else:
        print(" ".join(f"{name}={value}" for name, value in summary.items()))
        if not options.out:
            print("\n".join(f"{name} {offset}" for name, offset in offsets.items()))
    if options.capacity is not None and solution.height > options.capacity:
        print(
            f"error: height {solution.height} exceeds the capacity of {options.capacity} bytes",
            file=sys.stderr,
        )
        return 1
    return 0


def _check(options: argparse.Namespace) -> int:
    problem, solution = read_csv(options.solution)
    if solution is None:
        raise DataError(f"{options.solution}:1: column offset is missing; `memory --out` writes one", line=1)
    try:
        check(problem, solution)
    except InvalidSolution as error:
        print(f"invalid: {error}", file=sys.stderr)
        return 1
    print(f"valid height={solution.height} lower_bound={solution.lower_bound}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
