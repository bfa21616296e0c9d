"""Training under odd conditions, each under a hard memory limit equal to the budget: none may be over it.

    python -m benchmarks.conditions ARTIFACT [--steps 6] [--long-steps 200] [--only NAME ...]

ARTIFACT is one of lowpeak's kernels for ExecuTorch, such as `lowpeak demo --out` makes; data is the demo's.
Each condition is a run as `lowpeak train` makes it: batches are fed to lowpeak-runner while it trains, in a
control group of its own, by this process outside of it. `peak RSS` and `anonymous` are the most that was seen
of the runner, the whole process, from samples every 2 ms and from the system's own count at each step
(VmHWM); `charged` is what the control group was charged, page cache included, which the system takes back at
the limit. MB are 10**6 bytes.

Ends with 1 if a run held more than the budget, was killed, or did not finish. Runs as root: it makes control
groups, and for one condition it sets transparent huge pages to `always`, and back.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from unittest.mock import patch

from benchmarks.measure import DEMO_CHAT, mb
from lowpeak_artifact.artifact import Artifact
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT, read_progress
from lowpeak_runtime.train.command import worker_command
from lowpeak_runtime.train.control_group import MemoryGroup, memory_group
from lowpeak_runtime.train.feed import Feed
from lowpeak_runtime.train.memory import PeakSampler
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.work_folder import work_folder

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
IN_MEMORY = Path("/dev/shm")
PIPE_BYTES = 4096
SLOW_BYTES = 64
SLOW_SECONDS = 0.25
"""A reader takes so many bytes, then rests: slower than steps tell of themselves."""


@dataclass(frozen=True)
class Condition:
    """What is odd about a run."""

    name: str
    steps: int
    flags: tuple[str, ...] = ()
    """Of lowpeak-runner."""
    processors: str | None = None
    """That it may use."""
    environment: Mapping[str, str] = field(default_factory=dict)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    accumulate: int = 1
    checkpoint_every: int = 50
    resumed: bool = False
    """The first half of the steps is another run before."""
    huge_pages: bool = False
    temporary_in_memory: bool = False
    slow_reader: bool = False
    limited: bool = True
    """By a control group."""


def conditions(steps: int, long_steps: int) -> list[Condition]:
    return [
        Condition("as it is", steps),
        Condition("huge pages always", steps, huge_pages=True),
        Condition("1 thread", steps, ("--threads", "1")),
        Condition("2 threads", steps, ("--threads", "2")),
        Condition("4 threads, the most", steps, ("--threads", "4")),
        Condition("4 threads on 1 core", steps, ("--threads", "4"), processors="0"),
        Condition("MALLOC_ARENA_MAX=8", steps, environment={"MALLOC_ARENA_MAX": "8"}),
        Condition("TMPDIR in a tmpfs", steps, temporary_in_memory=True),
        Condition("no control group", steps, limited=False),
        Condition("stdout is a slow pipe", steps, slow_reader=True),
        Condition("long data", long_steps),
        Condition("a checkpoint every step", steps, checkpoint_every=1),
        Condition("accumulate 4", -(-steps // 2), accumulate=4),
        Condition("resumed", steps, resumed=True),
        Condition("SGD with momentum", steps, optimizer=OptimizerOptions("sgd", momentum=0.9)),
        Condition("clipped", steps, optimizer=OptimizerOptions(clip_norm=0.5)),
    ]


@dataclass
class Outcome:
    """What a run held. Bytes."""

    peak_rss_bytes: int = 0
    peak_anonymous_bytes: int = 0
    charged_bytes: int | None = None
    killed: bool = False
    steps: int = 0
    """That the adapter has had."""
    last: str = "nothing was told"

    def saw(self, sampler: PeakSampler) -> None:
        self.peak_rss_bytes = max(self.peak_rss_bytes, sampler.peak_rss_bytes)
        self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, sampler.peak_anonymous_bytes)

    def problem(self, condition: Condition, budget: int) -> str | None:
        if self.killed:
            return "killed for memory"
        if self.peak_rss_bytes > budget:
            return "over the budget"
        if self.steps < condition.steps:
            return f"ended after {self.steps} steps: {self.last}"
        return None


def tried(condition: Condition, artifact: Artifact) -> Outcome:
    """A run under the condition, all of whose files are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=artifact.path.parent) as temporary, ExitStack() as stack:
        out = Path(temporary) / "out"
        out.mkdir()
        if condition.temporary_in_memory:
            stack.enter_context(patch("tempfile.tempdir", str(IN_MEMORY)))
        if condition.huge_pages:
            stack.enter_context(always_huge_pages())
        outcome = Outcome()
        if condition.resumed:
            run(condition, artifact, out, condition.steps // 2, None, outcome)
        group = None
        if condition.limited:
            group = stack.enter_context(memory_group(artifact.manifest.budget_bytes))
        run(condition, artifact, out, condition.steps, group, outcome)
        if group is not None:
            outcome.killed, outcome.charged_bytes = group.has_killed, group.peak_bytes
        return outcome


def run(
    condition: Condition,
    artifact: Artifact,
    out: Path,
    goal: int,
    group: MemoryGroup | None,
    outcome: Outcome,
) -> None:
    """Trains from `out`'s checkpoint, or the first step, up to `goal`."""
    manifest, checkpoint = artifact.manifest, out / CHECKPOINT
    with work_folder(out) as work, ExitStack() as stack:
        data = training_data(artifact, DEMO_CHAT)
        job = Job.of(
            artifact,
            work,
            steps=goal,
            data=data.sha256,
            streamed=True,
            optimizer=condition.optimizer,
            accumulate=condition.accumulate,
            checkpoint=checkpoint,
            checkpoint_every=condition.checkpoint_every,
        )
        if checkpoint.exists():
            job = job.continued(read_progress(checkpoint))
        file = Path(work) / "job.json"
        file.write_text(job.to_json(), encoding="utf-8")
        command = [*worker_command(manifest, "native").arguments, *condition.flags, str(file)]
        if condition.processors is not None:
            command = ["taskset", "--cpu-list", condition.processors, *command]
        if group is not None:
            command = group.entering(command)
        feed = Feed(job, data)
        batches, told = os.pipe()
        events, pipe = event_pipe(condition.slow_reader)
        child = subprocess.Popen(
            command, stdin=batches, stdout=pipe, env={**os.environ, **condition.environment}
        )
        os.close(batches)
        os.close(pipe)
        stack.enter_context(feed.running(told, child.terminate))
        sampler = stack.enter_context(PeakSampler(child.pid))
        for line in read_slowly(events) if condition.slow_reader else events:
            event = json.loads(line)
            outcome.last = line.decode().strip()
            if event["event"] == "ready":
                # Until then it was the shell, and taskset.
                sampler.restart()
            if event["event"] == "step":
                outcome.steps = event["step"] + 1
                outcome.peak_rss_bytes = max(outcome.peak_rss_bytes, event["peak_rss_bytes"])
                feed.ended(event["step"])
        events.close()
        child.wait()
        outcome.saw(sampler)


def event_pipe(slow: bool) -> tuple[IO[bytes], int]:
    """The ends to read and to write; of a slow reader the pipe is small, and full from the beginning."""
    reading, writing = os.pipe()
    if slow:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(writing, b"\n" * PIPE_BYTES)
    return open(reading, "rb", buffering=0 if slow else -1), writing


def read_slowly(events: IO[bytes]) -> Iterator[bytes]:
    """Its lines, without those that it began with."""
    text = b""
    while piece := events.read(SLOW_BYTES):
        *lines, text = (text + piece).split(b"\n")
        yield from filter(None, lines)
        time.sleep(SLOW_SECONDS)


@contextmanager
def always_huge_pages() -> Iterator[None]:
    """Of every size, for all processes of this machine that do not refuse them."""
    switches = [HUGE_PAGES / "enabled", *HUGE_PAGES.glob("hugepages-*/enabled")]
    before = {switch: switch.read_text().split("[")[1].split("]")[0] for switch in switches}
    try:
        for switch in switches:
            switch.write_text("always")
        yield
    finally:
        for switch, choice in before.items():
            switch.write_text(choice)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--long-steps", type=int, default=200)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    options = parser.parse_args()
    artifact = Artifact.open(options.artifact)
    budget, planned = artifact.manifest.budget_bytes, artifact.manifest.planned_peak_bytes
    chosen = [
        each
        for each in conditions(options.steps, options.long_steps)
        if options.only is None or each.name in options.only
    ]
    print(
        f"{artifact.manifest.model_name}: budget {mb(budget)}, planned {mb(planned)}, "
        f"{mb(artifact.manifest.planned_anonymous_bytes)} of it anonymous; MB\n"
    )
    print("| condition | steps | anonymous | peak RSS | of planned | charged | |")
    print("|---|---|---|---|---|---|---|", flush=True)
    failed = 0
    for condition in chosen:
        outcome = tried(condition, artifact)
        problem = outcome.problem(condition, budget)
        failed += problem is not None
        charged = "" if outcome.charged_bytes is None else mb(outcome.charged_bytes)
        print(
            f"| {condition.name} | {outcome.steps} | {mb(outcome.peak_anonymous_bytes)} | "
            f"{mb(outcome.peak_rss_bytes)} | {outcome.peak_rss_bytes / planned:.3f} | {charged} | "
            f"{problem or 'within'} |",
            flush=True,
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
