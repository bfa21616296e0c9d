"""A run on a device: lowpeak-runner under adbd's shell, followed by its events, stopped by a signal.

    RUN/job.json, batches, checkpoint.safetensors    as `prepare` made them; the runner works in this folder
    RUN/events.ndjson                                what it told, of all its starts
    RUN/pid, RUN/status, RUN/stderr                  of the last start

When the connection breaks, adbd sends SIGHUP to the script, which asks the runner to stop: it writes its
checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lowpeak.phone.layout import EVENTS, PROCESS, PROGRAMS, STATUS, STDERR
from lowpeak.phone.runner import Runner
from lowpeak.phone.shell import Device, join
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem, LowpeakError
from lowpeak_artifact.manifest import Manifest
from lowpeak_export.executorch.library import RUNNER
from lowpeak_runtime.train.events import told_error
from lowpeak_runtime.train.memory import MemoryUse
from lowpeak_runtime.train.stop import STOPPED
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun

SIGNALLED = 128
"""A shell adds it to the number of the signal that ended a command."""
SIGKILL = 9


@dataclass(frozen=True)
class PhoneRun:
    """A run's folder on a device, with all that the runner needs in it."""

    device: Device
    folder: PurePosixPath

    def require_idle(self) -> None:
        """Raises ArtifactError when a runner works in the folder."""
        pid = self._process()
        if pid is not None:
            raise ArtifactError(
                f"{self.folder} on {self.device} is being trained by process {pid}: wait for its end, stop "
                f"it (`adb shell kill {pid}`; it keeps a checkpoint), or give another --name",
                pid=pid,
            )

    def train(
        self,
        manifest: Manifest,
        runner: Runner,
        on_step: Callable[[StepReport], None] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> WorkerRun:
        """Runs the job to its end; `tell` is told the runner's notes. Raises the error that the runner met,
        or EnvironmentProblem when it was killed or the connection broke; what `on_step` raises, or an
        interrupt, stops it and goes on then.
        """
        run = WorkerRun("native")
        with self.device.start(self._script(manifest, runner)) as running:
            try:
                failure = follow(running.stdout, run, on_step, tell)
            except BaseException:
                # It writes its checkpoint, and its last events must have somebody who reads them.
                with suppress(LowpeakError):
                    if self._stop():
                        running.stdout.read()
                raise
            ended = running.ended()
        if failure is not None:
            raise failure
        if ended.status is None:
            kept = f" after {len(run.steps)} steps; the run there stops and keeps them"
            raise self.device.lost(ended, kept, "run the same command with --resume")
        if ended.status and ended.status != STOPPED:
            raise self._failed(ended.status, ended.stderr, run)
        return run

    def _script(self, manifest: Manifest, runner: Runner) -> str:
        program = runner.command(PROGRAMS, manifest.kernels)
        command = ["env", f"LD_LIBRARY_PATH={PROGRAMS}", *program, "--metrics", "--no-verify", "job.json"]
        # In the background, for a shell runs no trap while it waits for a command in the foreground.
        return f"""cd {join([str(self.folder)])} && rm -f {PROCESS} {STATUS} && {{
          trap 'kill -TERM $(cat {PROCESS})' HUP INT TERM
          {{ sh -c 'echo $$ > {PROCESS}; exec "$@"' sh {join(command)} 2> {STDERR}; echo $? > {STATUS}; }} |
            tee -a {EVENTS} &
          wait $!
          (exit $(cat {STATUS}))
        }}"""

    def _stop(self) -> bool:
        """Asks the runner to stop; False if there is none (yet: it then stops as the connection ends)."""
        pid = self._process()
        if pid is not None:
            self.device.run(f"kill -TERM {pid} 2>/dev/null || true")
        return pid is not None

    def _process(self) -> int | None:
        """Of the runner that works in the folder; None if there is none."""
        file = join([str(self.folder / PROCESS)])
        # The number may be another program's by now.
        is_runner = f'grep -q {RUNNER} "/proc/$pid/cmdline" 2>/dev/null'
        script = f'pid=$(cat {file} 2>/dev/null) && {is_runner} && echo "$pid" || true'
        told = self.device.run(script).strip()
        return int(told) if told else None

    def _failed(self, status: int, said: str, run: WorkerRun) -> EnvironmentProblem:
        steps = len(run.steps)
        kept = "; resume from the last checkpoint"
        if status == SIGNALLED + SIGKILL:
            return EnvironmentProblem(
                f"the training process on {self.device} was killed after {steps} steps, holding "
                f"{run.peak_rss_bytes} bytes: {self._why_killed()}{kept}",
                steps=steps,
                peak_rss_bytes=run.peak_rss_bytes,
            )
        last_line = f"tail -n 1 {join([str(self.folder / STDERR)])} 2>/dev/null || true"
        told = self.device.run(last_line).strip() or said
        how = f"signal {status - SIGNALLED}" if status > SIGNALLED else f"exit code {status}"
        reason = f": {told.splitlines()[-1]}" if told else ""
        return EnvironmentProblem(f"the training process on {self.device} ended with {how}{reason}{kept}")

    def _why_killed(self) -> str:
        """What the device's logs say of it. Lines of Android's low-memory killer and of the kernel's have the
        number of the process that they ended.
        """
        script = f"""pid=$(cat {join([str(self.folder / PROCESS)])})
        {{ logcat -d -b main,system,events,crash; dmesg; }} 2>/dev/null |
          grep -w "$pid" | grep -iE 'kill|oom' | tail -n 1
        grep MemAvailable: /proc/meminfo"""
        *log, memory = self.device.run(script).splitlines()
        if log:
            return f"the device says: {log[-1].strip()}"
        free = int(memory.split()[1]) * 1024
        return f"its logs do not say why; {free} bytes of memory are free there now"


def follow(
    events: Iterable[bytes],
    run: WorkerRun,
    on_step: Callable[[StepReport], None] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Exception | None:
    """Reads the runner's events into `run`, its notes into `tell` -> the error that it met, if any. What it
    holds it says itself.
    """
    for line in events:
        if not line.endswith(b"\n"):
            break
        event: dict[str, Any] = json.loads(line)
        kind = event.pop("event")
        if kind == "ready":
            run.baseline = MemoryUse(**event)
        elif kind == "step":
            run.steps.append(step_of(event, run))
            if on_step is not None:
                on_step(run.steps[-1])
        elif kind == "note":
            tell(event["note"])
        elif kind == "stopped":
            run.stop_reason = event["reason"]
        elif kind == "error":
            return told_error({"event": kind, **event})
    return None


def step_of(event: dict[str, Any], run: WorkerRun) -> StepReport:
    """The step that an event or a line of metrics tells; `run` gets the peaks."""
    run.peak_rss_bytes = max(run.peak_rss_bytes, event["peak_rss_bytes"])
    run.peak_anonymous_bytes = max(run.peak_anonymous_bytes, event["peak_anonymous_bytes"])
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
    )
