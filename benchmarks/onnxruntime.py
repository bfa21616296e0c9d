r"""Artifacts for ONNX Runtime on a real model: exactness, memory, and the route that its documentation shows.

    python -m benchmarks.onnxruntime [--model demo] [--seq-len 256] [--steps 20] [--budgets 1000,400] \
        [--classic]

1. Loss and every gradient of one step in ONNX Runtime against the simulator.
2. `steps` AdamW steps in ONNX Runtime for each budget and in ExecuTorch: losses side by side, peak anonymous
   memory planned and measured, median step time.
3. --classic (needs onnxscript): the same model exported and differentiated by `generate_artifacts`.

Every run is a fresh process; its memory is what it gained over its state just before the artifact was opened.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from itertools import islice
from pathlib import Path

from torch import Tensor

import lowpeak
from benchmarks.classic_onnx import export_classic
from lowpeak_artifact.artifact import Artifact
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.simulate.execute import execute
from lowpeak_runtime.train.command import MALLOC, Command
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.sessions import open_session
from lowpeak_runtime.train.supervisor import supervise

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Run:
    """Bytes and seconds."""

    name: str
    losses: Sequence[float]
    seconds: float
    planned: int | None
    measured: int
    recomputed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--budgets", default="1000,400")
    parser.add_argument("--classic", action="store_true")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, 1 thread, torch {version('torch')}, executorch {version('executorch')}",
        end="",
    )
    print(f", onnxruntime {version('onnxruntime-training-cpu')}, {options.model} at {options.seq_len} tokens")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        budgets = [float(budget) for budget in options.budgets.split(",")]
        compiled = [compile_for(options, "onnxruntime", budget, folder) for budget in budgets]
        compare_gradients(compiled[0], folder)
        print("run: anonymous MB planned, measured; recomputed; s a step; losses, apart from the first run's")
        first: Run | None = None
        for budget, artifact in zip(budgets, compiled, strict=True):
            run = train(f"ONNX Runtime, {budget:g} MB", artifact, options)
            first = first or run
            print_run(run, first)
        assert first is not None
        executorch = compile_for(options, "executorch", 1000, folder)
        print_run(train("ExecuTorch, 1000 MB", executorch, options), first)
        if options.classic:
            print_run(train_classic(compiled[0], options, folder), first)


def compile_for(options: argparse.Namespace, target: str, budget: float, folder: Path) -> Artifact:
    return lowpeak.compile_for_device(
        options.model,
        budget,
        seq_len=options.seq_len,
        target=target,
        device="laptop",
        out=folder / f"{target}-{budget:g}",
    )


def data(artifact: Artifact) -> Path | None:
    """The demo's conversations, or (without a tokenizer) the sample batch."""
    has_tokenizer = "tokenizer.json" in artifact.manifest.files
    return Path(str(files("lowpeak") / "demo_chat.jsonl")) if has_tokenizer else None


def compare_gradients(artifact: Artifact, folder: Path) -> None:
    """After one update, so that no gradient is zero because B is."""
    from lowpeak_runtime.train.onnx_session import OnnxSession
    from lowpeak_runtime.train.run_optimizer import write_run_optimizer

    work = folder / "gradients"
    work.mkdir()
    job = Job.of(artifact, work, steps=2)
    write_run_optimizer(artifact, job.optimizer, work)
    session = open_session(job, artifact.manifest)
    assert isinstance(session, OnnxSession)
    stream = training_data(artifact, data(artifact)).batches(seed=0)
    first, second = (batch.inputs for batch, _ in islice(stream, 2))
    session.accumulate(first)
    session.update(0)
    adapter = session.parameters()
    loss = session.accumulate(second)
    gradients = session.gradients()
    simulated = execute(artifact.graph(), second, adapter, artifact.tensor, artifact.constants())
    worst = max(relative(gradients[name], gradient) for name, gradient in simulated.gradients.items())
    print(f"one step: loss {loss:.6f}, simulated {simulated.loss:.6f}", end=", ")
    print(
        f"relative error {abs(loss - simulated.loss) / simulated.loss:.1e}, of gradients at most {worst:.1e}"
    )


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def train(name: str, artifact: Artifact, options: argparse.Namespace) -> Run:
    report = lowpeak.train(artifact, data(artifact), steps=options.steps)
    plan = artifact.manifest.largest.plan
    return Run(
        name,
        report.losses,
        report.step_seconds,
        plan.planned_anonymous_bytes,
        report.peak_anonymous_bytes,
        plan.recomputed_operations,
    )


def train_classic(artifact: Artifact, options: argparse.Namespace, folder: Path) -> Run:
    classic = folder / "classic"
    classic.mkdir()
    export_classic(artifact, classic)
    job = replace(Job.of(artifact, folder, steps=options.steps), artifact=str(classic))
    write_batches(job, training_data(artifact, data(artifact)))
    # Without -P: this module is found from the working folder, the clone.
    command = Command("python", (sys.executable, "-m", "benchmarks.classic_onnx"), MALLOC)
    run = supervise(job, folder, command)
    return Run(
        "generate_artifacts, default session",
        [step.loss for step in run.steps],
        statistics.median(step.seconds for step in run.steps),
        None,
        run.peak_anonymous_bytes,
    )


def print_run(run: Run, reference: Run) -> None:
    planned = "-" if run.planned is None else f"{run.planned / MEGABYTE:.1f}"
    apart = max(abs(a - b) / abs(b) for a, b in zip(run.losses, reference.losses, strict=False))
    losses = f"{run.losses[0]:.4f} .. {run.losses[-1]:.4f}, {apart:.1e}"
    memory = f"{planned}, {run.measured / MEGABYTE:.1f}; {run.recomputed}"
    print(f"{run.name}: {memory}; {run.seconds:.2f}; {losses}", flush=True)


if __name__ == "__main__":
    main()
