"""The budget dial on a real model: plans for several budgets and for the smallest, run, and their memory
measured.

    python -m benchmarks.budget_dial [--seq-len 512] [--steps 2] [--budgets 1000,600,400,300] [--model demo]

For every budget a fresh process trains `steps` steps; peak anonymous memory is what the process gained over
its state just before it opened the artifact (interpreter, torch and runtime libraries are not counted). The
last line asks for one megabyte less than the smallest budget. Machine, threads and versions are printed
first.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import torch

import lowpeak

MEGABYTE = 1_000_000
RELATIVE, ABSOLUTE = 0.03, 8 * MEGABYTE


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--budgets", default="1000,600,400,300")
    options = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {version('torch')}", end=", ")
    print(f"executorch {version('executorch')}, {options.model} at {options.seq_len} tokens")
    print("budget planned anonymous measured within arena/bound recomputed s/step losses (sizes in MB)")
    with tempfile.TemporaryDirectory() as folder:
        for budget in map(float, filter(None, options.budgets.split(","))):
            run(options, budget, Path(folder) / f"{budget:g}")
        minimum = smallest(options)
        run(options, minimum, Path(folder) / "smallest")
        try:
            compile_for(options, minimum - 1, Path(folder) / "refused")
        except lowpeak.BudgetTooSmall as refused:
            print(f"{minimum - 1:7.0f} refused: {refused}")
        else:
            raise SystemExit(f"{minimum - 1} MB was not refused")


def compile_for(options: argparse.Namespace, budget: float, out: Path) -> lowpeak.Artifact:
    return lowpeak.compile_for_device(
        options.model, budget, seq_len=options.seq_len, out=out, device="laptop"
    )


def smallest(options: argparse.Namespace) -> float:
    """Megabytes that BudgetTooSmall names."""
    try:
        compile_for(options, 1, Path(tempfile.gettempdir()) / "never-written")
    except lowpeak.BudgetTooSmall as refused:
        return int(refused.numbers["minimum_bytes"]) / MEGABYTE
    raise SystemExit("1 MB was not refused")


def run(options: argparse.Namespace, budget: float, out: Path) -> None:
    artifact = compile_for(options, budget, out)
    plan = artifact.manifest.largest.plan
    assert plan.planned_peak_bytes <= budget * MEGABYTE
    data = Path(str(files("lowpeak") / "demo_chat.jsonl"))
    report = lowpeak.train(artifact, data, steps=options.steps, out=out.with_name(out.name + "-trained"))
    measured, planned = report.peak_anonymous_bytes, plan.planned_anonymous_bytes
    within = abs(measured - planned) <= RELATIVE * planned + ABSOLUTE
    ratio = plan.arena_bytes / plan.arena_lower_bound_bytes
    figures = (
        f"{budget:6.0f}",
        f"{plan.planned_peak_bytes / 1e6:7.1f}",
        f"{planned / 1e6:9.1f}",
        f"{measured / 1e6:8.1f}",
        f"{'yes' if within else 'NO':>6}",
        f"{ratio:11.4f}",
        f"{plan.recomputed_operations:10d}",
        f"{report.step_seconds:6.1f}",
        " ".join(f"{loss:.4f}" for loss in report.losses),
    )
    print(*figures, flush=True)


if __name__ == "__main__":
    main()
