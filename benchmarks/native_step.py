"""A training step in lowpeak-runner beside one of eager PEFT with gradient checkpointing: time and memory.

    python -m benchmarks.native_step ARTIFACT [--steps 3] [--rounds 2] [--data FILE]

The artifact is one that trains on every token. Both train the same steps, on the same number of threads, in
turns of `steps` steps of which the first is not counted; processor time is what a busy machine does not
change. Data is as for benchmarks.measure. Memory is all that the process has resident. MB are 10**6 bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import DEMO_CHAT, mb, write_job
from lowpeak_artifact.artifact import Artifact
from lowpeak_export.executorch.library import ops_library, runner_program
from lowpeak_runtime.train.memory import PeakSampler
from lowpeak_runtime.train.optimizer import OptimizerOptions


@dataclass
class Contender:
    """One way to train: its process, and what was seen of it."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    rss_bytes: int = 0
    anonymous_bytes: int = 0
    losses: list[float] = field(default_factory=list)

    def run(self, job: Path) -> None:
        with subprocess.Popen(
            [*self.command, str(job)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            assert child.stdout is not None
            with PeakSampler(child.pid) as sampler:
                events = []
                started = 0.0
                for line in child.stdout:
                    events.append(json.loads(line))
                    if len(events) == 2:
                        started = processor_seconds(child.pid)
                    elif events[-1]["event"] == "step" and len(events) > 2:
                        now = processor_seconds(child.pid)
                        self.processor_seconds.append(now - started)
                        started = now
                child.wait()
        if events[-1]["event"] != "done":
            raise SystemExit(f"{self.name} ended with {events[-1]}")
        taken = [event for event in events if event["event"] == "step"]
        self.seconds += [event["seconds"] for event in taken[1:]]
        self.losses = [event["loss"] for event in taken]
        self.rss_bytes = max(self.rss_bytes, sampler.peak_rss_bytes)
        self.anonymous_bytes = max(self.anonymous_bytes, sampler.peak_anonymous_bytes)


def processor_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--data")
    options = parser.parse_args()
    artifact = Artifact.open(options.artifact)
    data = DEMO_CHAT if options.data == "demo" else options.data
    runner = runner_program()
    if runner is None:
        raise SystemExit("lowpeak-runner is not built: docs/native.md")
    ours = Contender("runner", [str(runner), "--ops-library", str(ops_library()), "--no-verify"])
    eager = Contender("eager", [sys.executable, "-m", "benchmarks.eager_checkpointed"])
    for _ in range(options.rounds):
        for contender in (ours, eager):
            with tempfile.TemporaryDirectory(dir=options.artifact.absolute().parent) as temporary:
                job = write_job(artifact, options.steps, Path(temporary), data, OptimizerOptions())
                contender.run(job)
    plan = artifact.manifest.largest.plan
    print(f"budget {mb(plan.budget_bytes)}, planned peak {mb(plan.planned_peak_bytes)}")
    for each in (ours, eager):
        print(
            f"{each.name}: {statistics.median(each.seconds):.2f} s a step, "
            f"{statistics.median(each.processor_seconds):.2f} s of processor time, RSS peak "
            f"{mb(each.rss_bytes)}, anonymous {mb(each.anonymous_bytes)}"
        )
    wall = statistics.median(ours.seconds) / statistics.median(eager.seconds)
    processor = statistics.median(ours.processor_seconds) / statistics.median(eager.processor_seconds)
    worst = max(abs(a - b) / b for a, b in zip(ours.losses, eager.losses, strict=True))
    print(f"runner / eager: time {wall:.2f}, processor time {processor:.2f}; losses differ by {worst:.1e}")


if __name__ == "__main__":
    main()
