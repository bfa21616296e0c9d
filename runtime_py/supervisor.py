"""The training process, seen from outside: started, followed, measured, and its failure put into words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import runtime_py
from compiler import errors
from compiler.errors import EnvironmentProblem, LowpeakError
from runtime_py.memory import MemoryUse, PeakSampler
from runtime_py.session import Job

# glibc keeps freed memory in an arena a thread, and raises the size from which it maps and unmaps: both make
# the peak depend on chance.
# Values below the threshold lie in a heap that only shrinks at its end.
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}


@dataclass(frozen=True)
class StepReport:
    """One step, as it ends."""

    step: int
    """From 0."""
    loss: float
    seconds: float
    """Forward, backward and update."""
    tokens_per_second: float | None


@dataclass
class WorkerRun:
    """What a worker told, and what its memory was since the baseline."""

    steps: list[StepReport] = field(default_factory=list)
    baseline: MemoryUse = field(default_factory=lambda: MemoryUse(0, 0, 0))
    peak_anonymous_bytes: int = 0
    peak_rss_bytes: int = 0


def supervise(
    job: Job,
    folder: Path,
    on_step: Callable[[StepReport], None] | None = None,
    worker: str = "runtime_py.worker",
) -> WorkerRun:
    """Runs the job in a process of its own to its end; `folder` is for temporary files.

    `worker`: the module that does it and tells the events of runtime_py/worker.py.

    Raises the error that the worker met, or EnvironmentProblem when it was killed. What `on_step` raises, or
    an interrupt here, lets the worker finish its step and save, and goes on.
    """
    (folder / "job.json").write_text(job.to_json(), encoding="utf-8")
    # -P: a folder named compiler in the user's working folder must not be taken for ours.
    command = [sys.executable, "-P", "-m", worker, str(folder / "job.json")]
    paths = [str(Path(runtime_py.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **MALLOC, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    run = WorkerRun()
    with (folder / "stderr").open("w+b") as stderr:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)
        assert child.stdout is not None
        try:
            with PeakSampler(child.pid) as sampler:
                failure = _follow(child.stdout, sampler, run, on_step)
                child.wait()
                run.peak_anonymous_bytes = sampler.peak_anonymous_bytes
                run.peak_rss_bytes = sampler.peak_rss_bytes
        finally:
            child.stdout.close()
            child.terminate()
            child.wait()
        if failure is not None:
            raise failure
        if child.returncode:
            stderr.seek(0)
            raise _ended(child.returncode, stderr.read().decode(errors="replace"), run, job)
    return run


def _follow(
    events: IO[bytes],
    sampler: PeakSampler,
    run: WorkerRun,
    on_step: Callable[[StepReport], None] | None,
) -> Exception | None:
    """Reads events until there are no more -> the error that the worker met, if any."""
    for line in events:
        if not line.endswith(b"\n"):
            break
        event: dict[str, Any] = json.loads(line)
        kind = event.pop("event")
        if kind == "ready":
            run.baseline = MemoryUse(**event)
            sampler.restart()
        elif kind == "step":
            run.steps.append(StepReport(**event))
            if on_step is not None:
                on_step(run.steps[-1])
        elif kind == "error":
            return _error(event)
    return None


def _error(event: dict[str, Any]) -> Exception:
    kind = getattr(errors, event["class"], None)
    if isinstance(kind, type) and issubclass(kind, LowpeakError):
        return kind(event["message"], **event["numbers"])
    return RuntimeError(f"training failed: {event['class']}: {event['message']}")


def _ended(returncode: int, stderr: str, run: WorkerRun, job: Job) -> EnvironmentProblem:
    kept = "; resume from the last checkpoint" if job.checkpoint else ""
    if returncode == -signal.SIGKILL:
        return EnvironmentProblem(
            f"the training process was killed after {len(run.steps)} steps, holding {run.peak_rss_bytes} "
            f"bytes: most likely the system ran out of memory{kept}",
            steps=len(run.steps),
            peak_rss_bytes=run.peak_rss_bytes,
        )
    said = stderr.strip().splitlines()
    reason = f": {said[-1]}" if said else ""
    how = signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
    return EnvironmentProblem(f"the training process ended with {how}{reason}{kept}")
