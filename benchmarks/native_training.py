"""Training without Python: what lowpeak-runner holds, planned and measured, beside the Python worker.

    python -m benchmarks.native_training ARTIFACT [--steps 4] [--runner FILE] [--ops-library FILE]

The artifact is one of the demo (`lowpeak compile demo ...`). The runner trains `steps` steps on the demo's
chat, watched from outside every 2 ms; the Python worker does the same; then the runner again, in a memory
control group whose hard limit is the artifact's budget, where page cache counts too. Sizes in MB; the
measured anonymous memory is all of the process, and beyond its state before it opened the artifact.
Without --runner it is built from native/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from export.artifact import MANIFEST, Artifact
from runtime_py.memory import PeakSampler, run_under_limit
from runtime_py.optimizer import OptimizerOptions
from runtime_py.prepare import training_data
from runtime_py.session import Job
from runtime_py.trainer import CHECKPOINT, train
from tests.native.runner import runner

DATA = Path(str(files("lowpeak") / "demo_chat.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--runner", type=Path)
    parser.add_argument("--ops-library", type=Path)
    options = parser.parse_args()
    artifact = Artifact.open(options.artifact)
    plan, batch = artifact.manifest.largest.plan, artifact.manifest.largest.batch
    print(f"{platform.machine()}, {os.cpu_count()} cores, executorch {version('executorch')}", end=", ")
    print(f"{artifact.manifest.model_name} at {batch.seq_len} tokens, kernels {artifact.manifest.kernels}")
    print(
        f"planned: budget {mb(plan.budget_bytes)}, peak {mb(plan.planned_peak_bytes)}, anonymous "
        f"{mb(plan.planned_anonymous_bytes)} of which optimizer {mb(plan.optimizer_bytes)}, weights "
        f"{mb(plan.weights_bytes)}"
    )
    with tempfile.TemporaryDirectory(dir=options.artifact.absolute().parent) as temporary:
        folder = Path(temporary)
        command = [str(options.runner or runner()), str(folder / "job.json"), "--metrics"]
        if options.ops_library:
            command += ["--ops-library", str(options.ops_library)]
        write_job(artifact, options.steps, folder)
        free = watched(command)
        (folder / CHECKPOINT).unlink()
        limited(command, plan.budget_bytes, free)
        if not options.ops_library:
            beside_python(artifact, options.steps, folder / "python", free)


def mb(size: float) -> str:
    return f"{size / 1e6:.1f}"


def write_job(artifact: Artifact, steps: int, folder: Path) -> None:
    job = Job(
        manifest=str(artifact.path / MANIFEST),
        artifact=str(artifact.path),
        work=str(folder),
        batches=str(folder / "batches.safetensors"),
        first_step=0,
        total_steps=steps,
        accumulate=1,
        seed=0,
        optimizer=OptimizerOptions(),
        checkpoint=str(folder / CHECKPOINT),
        checkpoint_every=50,
    )
    inputs = training_data(artifact, DATA).graph_inputs(seed=0, first_step=0, steps=steps)
    save_file(inputs, job.batches)
    (folder / "job.json").write_text(job.to_json())


def watched(command: list[str]) -> list[dict[str, Any]]:
    """Runs it, prints its memory -> the steps' events."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        with PeakSampler(child.pid) as sampler:
            events = [json.loads(line) for line in child.stdout]
            child.wait()
    ready, *steps, last = events
    if last["event"] != "done":
        raise SystemExit(f"the runner ended with {last}")
    print(
        f"runner: RSS peak {mb(sampler.peak_rss_bytes)}, anonymous peak {mb(sampler.peak_anonymous_bytes)}, "
        f"beyond the baseline {mb(sampler.peak_anonymous_bytes - ready['anonymous_bytes'])}; before the "
        f"artifact RSS {mb(ready['rss_bytes'])}, anonymous {mb(ready['anonymous_bytes'])}; "
        f"{seconds(steps):.2f} s a step"
    )
    return steps


def limited(command: list[str], limit: int, expected: list[dict[str, Any]]) -> None:
    run = run_under_limit(command, limit)
    events = [json.loads(line) for line in run.output.splitlines() if line.startswith("{")]
    steps = [event for event in events if event["event"] == "step"]
    same = losses(steps) == losses(expected)
    print(
        f"limited to {mb(limit)}: exit code {run.returncode}, killed for memory {run.killed_for_memory}, "
        f"peak {mb(run.peak_bytes)}, losses {'the same' if same else losses(steps)}, "
        f"{seconds(steps):.2f} s a step, last {events[-1:]}"
    )


def beside_python(artifact: Artifact, steps: int, out: Path, expected: list[dict[str, Any]]) -> None:
    report = train(artifact, DATA, steps=steps, out=out)
    difference = max(abs(a - b) for a, b in zip(report.losses, losses(expected), strict=True))
    print(
        f"Python worker: RSS peak {mb(report.peak_rss_bytes)}, anonymous beyond the baseline "
        f"{mb(report.peak_anonymous_bytes)}, {report.step_seconds:.2f} s a step; losses differ by at most "
        f"{difference:.1e}: {[round(loss, 4) for loss in report.losses]}"
    )


def losses(steps: list[dict[str, Any]]) -> list[float]:
    return [event["loss"] for event in steps]


def seconds(steps: list[dict[str, Any]]) -> float:
    return statistics.median(event["seconds"] for event in steps) if steps else 0.0


if __name__ == "__main__":
    main()
