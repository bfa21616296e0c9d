"""Height over lower bound and seconds of the offset solver.

Reproduce with `python -m benchmarks.arena` from the root of the repository: one core,
default effort, the validator's time included. Prints machine and versions first.
"""

from __future__ import annotations

import platform
import time

import numpy as np

from lowpeak_compiler.plan.place.memory import solve
from tests.plan.instances import random_live_ranges, training_step


def main() -> None:
    """Print one line per instance."""
    print(f"{platform.platform()}, Python {platform.python_version()}, numpy {np.__version__}")
    instances = [
        (f"training step, {layers} layers x {tiles} tiles, seed {seed}", training_step(layers, tiles, seed))
        for layers, tiles, seed in (
            (4, 1, 0),
            (16, 1, 1),
            (28, 1, 2),
            (16, 4, 3),
            (28, 8, 4),
            (28, 16, 5),
            (28, 44, 6),
        )
    ] + [
        (f"random live ranges, mean {lifetime}, seed {seed}", random_live_ranges(count, seed, lifetime))
        for count, seed, lifetime in (
            (200, 0, 40),
            (1000, 0, 40),
            (10_000, 0, 40),
            (10_000, 1, 300),
            (60_000, 0, 40),
        )
    ]
    print(f"{'instance':44} {'buffers':>8} {'lower bound':>14} {'height':>14} {'ratio':>8} {'seconds':>8}")
    for name, problem in instances:
        start = time.perf_counter()
        solution = solve(problem)
        seconds = time.perf_counter() - start
        ratio = solution.height / solution.lower_bound
        print(
            f"{name:44} {len(problem.buffers):8} {solution.lower_bound:14} {solution.height:14} "
            f"{ratio:8.4f} {seconds:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
