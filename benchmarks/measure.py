"""Real training steps of an artifact in lowpeak-runner, in a fresh process under a hard memory limit.

    python -m benchmarks.measure ARTIFACT [--steps 2] [--limit-mb MB | --no-limit] [--data FILE]
        [--same-as ARTIFACT | --eager]

The limit is that of a control group, where the page cache counts too; by default it is the artifact's
budget. Data is the artifact's own sample without --data, and `demo` is the demo's chat. With --same-as,
another artifact of the same model trains the same steps without a limit, and losses and gradients are
compared: SGD at a learning rate of 1 changes the adapter by its gradient; and the time of a step is predicted
from the other's, by the ratio of what the two plans predict. Otherwise AdamW trains, and with
--eager the same steps are taken by eager PEFT on the same quantized weights, too. MB are 10**6 bytes; times
are of this machine, predictions of the artifact's device.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from peft import LoraConfig
from safetensors import safe_open

from lowpeak import compile_for_device
from lowpeak_artifact.artifact import Artifact
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_runtime.data.prepare import Data, training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.command import worker_command
from lowpeak_runtime.train.control_group import run_under_limit
from lowpeak_runtime.train.eager import train_eagerly
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job

DEMO_CHAT = Path(str(files("lowpeak") / "demo_chat.jsonl"))
GRADIENT = OptimizerOptions("sgd", learning_rate=1.0)


@dataclass(frozen=True)
class Measured:
    """What a run told. Bytes."""

    returncode: int
    killed_for_memory: bool
    charged_bytes: int | None
    """Most that its control group was charged at once, page cache and kernel memory included."""
    steps: Sequence[dict[str, Any]]
    """The events of its steps."""
    last: dict[str, Any]
    """The event that ended it."""

    @property
    def peak_rss_bytes(self) -> int:
        return max((step["peak_rss_bytes"] for step in self.steps), default=0)

    @property
    def peak_anonymous_bytes(self) -> int:
        return max((step["peak_anonymous_bytes"] for step in self.steps), default=0)

    @property
    def losses(self) -> list[float]:
        return [step["loss"] for step in self.steps]

    @property
    def seconds(self) -> float:
        """Median of a step, without the first when there are others."""
        return statistics.median([step["seconds"] for step in self.steps][1:] or [self.steps[0]["seconds"]])

    @property
    def tokens_per_second(self) -> float | None:
        return self.steps[-1]["tokens_per_second"]


def write_job(artifact: Artifact, steps: int, folder: Path, data: Data, optimizer: OptimizerOptions) -> Path:
    """A job that trains from the first step on, its temporary files in `folder` -> its file."""
    job = Job.of(artifact, folder, steps=steps, optimizer=optimizer, checkpoint=folder / CHECKPOINT)
    write_batches(job, training_data(artifact, data))
    file = folder / "job.json"
    file.write_text(job.to_json(), encoding="utf-8")
    return file


def measure(
    artifact: Artifact,
    folder: Path,
    *,
    steps: int,
    limit_bytes: int | None,
    data: Data = None,
    optimizer: OptimizerOptions,
) -> Measured:
    """Trains in lowpeak-runner; the checkpoint is in `folder` afterwards."""
    job = write_job(artifact, steps, folder, data, optimizer)
    command = [*worker_command(artifact.manifest, "native").arguments, str(job)]
    if limit_bytes is None:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        code, killed, charged, output = done.returncode, False, None, done.stdout
    else:
        run = run_under_limit(command, limit_bytes)
        code, killed, charged, output = run.returncode, run.killed_for_memory, run.peak_bytes, run.output
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    taken = [event for event in events if event["event"] == "step"]
    return Measured(code, killed, charged, taken, events[-1] if events else {})


def update_distance(initial: Path, actual: Path, expected: Path) -> tuple[float, float]:
    """Distance of what two runs added to the initial adapter, relative to the norm of what the second added.

    -> of the whole adapter, and the worst of a tensor.
    """
    worst = distance = norm = 0.0
    with (
        safe_open(initial, "pt") as first,
        safe_open(actual, "pt") as ours,
        safe_open(expected, "pt") as theirs,
    ):
        for name in first.keys():  # noqa: SIM118
            wanted = (theirs.get_tensor(f"adapter.{name}") - first.get_tensor(name)).double()
            off = float((ours.get_tensor(f"adapter.{name}") - first.get_tensor(name) - wanted).norm())
            size = float(wanted.norm())
            worst = max(worst, off / size if size else off)
            distance, norm = math.hypot(distance, off), math.hypot(norm, size)
    return distance / norm, worst


def worst_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Of losses, relative to the other's."""
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def mb(size: float) -> str:
    return f"{size / 1e6:.1f}"


def report(artifact: Artifact, run: Measured, limit_bytes: int | None) -> str:
    """What was planned and what was measured, in lines."""
    manifest = artifact.manifest
    plan = manifest.largest.plan
    lines = [
        f"{manifest.model_name} at {manifest.largest.batch.seq_len} tokens, kernels {manifest.kernels}",
        f"planned: budget {mb(plan.budget_bytes)}, peak {mb(plan.planned_peak_bytes)}, anonymous "
        f"{mb(plan.planned_anonymous_bytes)}, {plan.predicted_step_seconds:.1f} s a step on "
        f"{manifest.device}",
    ]
    if not run.steps:
        return "\n".join([*lines, f"no step: exit code {run.returncode}, {run.last}"])
    speed = run.tokens_per_second
    lines.append(
        f"measured: peak RSS {mb(run.peak_rss_bytes)} ({run.peak_rss_bytes / plan.planned_peak_bytes:.3f} of "
        f"planned), anonymous {mb(run.peak_anonymous_bytes)}, {run.seconds:.1f} s a step, "
        f"{'?' if speed is None else f'{speed:.1f}'} tokens/s"
    )
    if limit_bytes is not None and run.charged_bytes is not None:
        lines.append(
            f"under a hard limit of {mb(limit_bytes)}: exit code {run.returncode}, killed for memory: "
            f"{run.killed_for_memory}, charged at most {mb(run.charged_bytes)}"
        )
    first, last = run.steps[0], run.steps[-1]
    lines.append(f"RSS after the first step {mb(first['rss_bytes'])}, after the last {mb(last['rss_bytes'])}")
    lines.append(f"losses {[round(loss, 5) for loss in run.losses[:4]]} ... {run.losses[-1]:.5f}")
    return "\n".join(lines)


def measure_model(
    model: str,
    training: TrainingOptions,
    for_target: TargetOptions,
    budget: Budget,
    folder: Path,
    lora: LoraConfig | None = None,
) -> None:
    """Compiles the model into a folder in `folder`, and reports a step under a hard limit of the budget."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        work = Path(temporary)
        artifact = compile_for_device(
            model,
            budget.megabytes,
            lora=lora,
            out=work / "artifact",
            **asdict(training),
            **asdict(for_target),
        )
        limit = artifact.manifest.budget_bytes
        run = measure(artifact, work, steps=1, limit_bytes=limit, optimizer=OptimizerOptions())
        print(report(artifact, run, limit), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--limit-mb", type=float)
    parser.add_argument("--no-limit", action="store_true")
    parser.add_argument("--data")
    parser.add_argument("--same-as", type=Path)
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    artifact = Artifact.open(options.artifact)
    budget = artifact.manifest.budget_bytes
    limit = None if options.no_limit else int(1e6 * (options.limit_mb or budget / 1e6))
    data = DEMO_CHAT if options.data == "demo" else options.data
    near = options.artifact.absolute().parent
    with tempfile.TemporaryDirectory(dir=near) as here, tempfile.TemporaryDirectory(dir=near) as there:
        optimizer = OptimizerOptions() if options.same_as is None else GRADIENT
        run = measure(
            artifact, Path(here), steps=options.steps, limit_bytes=limit, data=data, optimizer=optimizer
        )
        print(report(artifact, run, limit), flush=True)
        if run.returncode:
            raise SystemExit(f"the runner ended with {run.last}")
        if options.eager:
            eager = train_eagerly(artifact, data, steps=options.steps, optimizer=optimizer)
            print(f"eager: peak RSS {mb(eager.peak_rss_bytes)}, {eager.step_seconds:.1f} s a step")
            print(
                f"losses differ by {worst_difference(run.losses, eager.losses):.1e}, the last by "
                f"{worst_difference(run.losses[-1:], eager.losses[-1:]):.1e}, relative"
            )
        if options.same_as is None:
            return
        other = Artifact.open(options.same_as)
        free = measure(
            other, Path(there), steps=options.steps, limit_bytes=None, data=data, optimizer=optimizer
        )
        print(report(other, free, None))
        initial = artifact.file("adapter.safetensors")
        whole, worst = update_distance(initial, Path(here) / CHECKPOINT, Path(there) / CHECKPOINT)
        print(
            f"losses differ by {worst_difference(run.losses, free.losses):.1e}, gradients by {whole:.1e}, "
            f"those of a tensor by at most {worst:.1e}, relative"
        )
        ours, theirs = (each.manifest.largest.plan.predicted_step_seconds for each in (artifact, other))
        predicted = free.seconds * ours / theirs
        print(f"a step predicted from the other's: {predicted:.1f} s ({predicted / run.seconds - 1:+.0%})")


if __name__ == "__main__":
    main()
