"""The training process, seen from outside: started, followed, measured, and its failure put into words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_runtime.data.summary import Summary
from lowpeak_runtime.train.command import Command
from lowpeak_runtime.train.events import told_error
from lowpeak_runtime.train.feed import Feed
from lowpeak_runtime.train.mapped_files import bus_error
from lowpeak_runtime.train.memory import MemoryUse, PeakSampler
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import ENDING, STOPPED, StopRequest, held_back


@dataclass(frozen=True)
class StepReport:
    """One step, as it ends. Bytes are the process's; peaks are those of the run until then."""

    step: int
    """From 0."""
    loss: float
    seconds: float
    """Forward, backward and update."""
    tokens_per_second: float | None
    rss_bytes: int
    anonymous_bytes: int
    peak_rss_bytes: int
    peak_anonymous_bytes: int
    """Beyond the baseline: what training needs."""
    peak_held_bytes: int
    """What the budget bounds: resident memory, all of a native process's, beyond the baseline of Python's."""
    data: Summary | None = None
    """What the steps of the run saw of the data until then; None for batches that were given."""


@dataclass
class WorkerRun:
    """What a process told, and the most memory that it held after it told its baseline."""

    engine: Literal["native", "python"] = "python"
    steps: list[StepReport] = field(default_factory=list)
    baseline: MemoryUse = field(default_factory=lambda: MemoryUse(0, 0, 0))
    peak_anonymous_bytes: int = 0
    """Beyond the baseline."""
    peak_rss_bytes: int = 0
    """In all."""
    stop_reason: str | None = None
    """Why it ended before the goal: a signal, memory pressure, the budget."""

    @property
    def peak_held_bytes(self) -> int:
        """What the budget bounds: the interpreter and its libraries are not part of training."""
        if self.engine == "native":
            return self.peak_rss_bytes
        return max(0, self.peak_rss_bytes - self.baseline.rss_bytes)

    def saw(self, rss_bytes: int, anonymous_bytes: int) -> None:
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss_bytes)
        beyond = anonymous_bytes - self.baseline.anonymous_bytes
        self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, beyond)


def supervise(
    job: Job,
    folder: Path,
    command: Command,
    on_step: Callable[[StepReport], None] | None = None,
    feed: Feed | None = None,
    tell: Callable[[str], None] = lambda _: None,
    stop: StopRequest | None = None,
    lock: int | None = None,
) -> WorkerRun:
    """Runs the job in a process of its own to its end. `folder` is for temporary files; a streamed job's
    batches come from `feed`. `tell` is told the process's notes. `lock`: the descriptor of the run's folder,
    which the process holds locked as well.

    Raises the error that the process or the feed met, or EnvironmentProblem when it cannot be started or was
    killed. What `on_step` raises, an error of the feed, or an interrupt here, lets it finish its step and
    save, and goes on; for a wish of `stop` it does so too, and this returns.
    """
    stop = StopRequest() if stop is None else stop
    (folder / "job.json").write_text(job.to_json(), encoding="utf-8")
    run = WorkerRun(command.engine)
    with (folder / "stderr").open("w+b") as stderr, ExitStack() as stack:
        stdin, pipe = os.pipe()
        try:
            child = _started(command, folder / "job.json", stdin, stderr, lock)
        except EnvironmentProblem:
            os.close(pipe)
            raise
        finally:
            os.close(stdin)
        if feed is None:
            os.close(pipe)
        else:
            stack.enter_context(feed.running(pipe, child.terminate))
        assert child.stdout is not None
        try:
            with stop.passed_on(child.terminate, child.kill), PeakSampler(child.pid) as sampler:
                failure = _follow(child.stdout, sampler, run, feed, on_step, tell)
                child.wait()
                run.saw(sampler.peak_rss_bytes, sampler.peak_anonymous_bytes)
        finally:
            child.stdout.close()
            child.terminate()
            child.wait()
        if feed is not None and feed.error is not None:
            raise feed.error
        if failure is not None:
            raise failure
        if child.returncode == STOPPED or _ended_before_a_step(child.returncode, run, stop):
            run.stop_reason = stop.reason or run.stop_reason or "it does not say why"
        elif child.returncode:
            stderr.seek(0)
            raise _ended(child.returncode, stderr.read().decode(errors="replace"), run, job)
    return run


def _ended_before_a_step(returncode: int, run: WorkerRun, stop: StopRequest) -> bool:
    """By the signal that asked, which came before it could be heeded: nothing is lost."""
    return stop.reason is not None and not run.steps and -returncode in ENDING


def _started(
    command: Command, job: Path, stdin: int, stderr: IO[bytes], lock: int | None
) -> subprocess.Popen[bytes]:
    arguments = [*command.arguments, str(job)]
    if lock is not None:
        arguments += ["--lock", str(lock)]
    environment = {**os.environ, **command.environment}
    try:
        with held_back():
            return subprocess.Popen(
                arguments,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                pass_fds=() if lock is None else (lock,),
            )
    except OSError as error:
        raise EnvironmentProblem(f"{arguments[0]} cannot be started: {error.strerror}") from error


def _follow(
    events: IO[bytes],
    sampler: PeakSampler,
    run: WorkerRun,
    feed: Feed | None,
    on_step: Callable[[StepReport], None] | None,
    tell: Callable[[str], None],
) -> Exception | None:
    """Reads events until there are no more -> the error that the process met, if any."""
    for line in events:
        if not line.endswith(b"\n"):
            break
        event: dict[str, Any] = json.loads(line)
        kind = event.pop("event")
        if kind == "ready":
            run.baseline = MemoryUse(**event)
            sampler.restart()
        elif kind == "step":
            run.saw(sampler.peak_rss_bytes, sampler.peak_anonymous_bytes)
            if feed is not None:
                feed.ended(event["step"])
            run.steps.append(_step(event, run, None if feed is None else feed.summary))
            if on_step is not None:
                on_step(run.steps[-1])
        elif kind == "note":
            tell(event["note"])
        elif kind == "stopped":
            run.stop_reason = event["reason"]
        elif kind == "error":
            return told_error(event)
    return None


def _step(event: dict[str, Any], run: WorkerRun, data: Summary | None) -> StepReport:
    run.saw(event["rss_bytes"], event["anonymous_bytes"])
    return StepReport(
        step=event["step"],
        loss=event["loss"],
        seconds=event["seconds"],
        tokens_per_second=event["tokens_per_second"],
        rss_bytes=event["rss_bytes"],
        anonymous_bytes=event["anonymous_bytes"],
        peak_rss_bytes=run.peak_rss_bytes,
        peak_anonymous_bytes=run.peak_anonymous_bytes,
        peak_held_bytes=run.peak_held_bytes,
        data=data,
    )


def _ended(returncode: int, stderr: str, run: WorkerRun, job: Job) -> EnvironmentProblem:
    kept = "; resume from the last checkpoint" if job.checkpoint else ""
    if returncode == -signal.SIGBUS:
        return bus_error(job.artifact, job.work)
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
