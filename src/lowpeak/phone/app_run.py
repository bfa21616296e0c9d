"""A run in the app: begun and stopped by intents, followed by the metrics that the app writes.

    files/runs/NAME/metrics.ndjson    a line a step, as `lowpeak train --metrics`

The app goes on when the cable is pulled: it is a foreground service's work, not a command of this computer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from lowpeak.phone.app import ACTIVITY, PACKAGE, RUNNER, STOP, TRAIN, AppDevice
from lowpeak.phone.layout import METRICS
from lowpeak.phone.run import step_of
from lowpeak.phone.shell import Device, join
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem, LowpeakError
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun

BEGIN_SECONDS = 120.0
"""Between the intent and the first sign of the runner: the artifact's hashes are checked before."""
STOP_SECONDS = 10.0
"""That the app has to hand a stop to the runner."""
END_SECONDS = 300.0
"""Longest that a step and a checkpoint may take."""
POLL_SECONDS = 0.5
LINE_BYTES = 1 << 14
"""More than a line of the metrics."""
LOW_MEMORY, SIGNALED = 3, 2


@dataclass(frozen=True)
class Seen:
    """The app at one moment."""

    app: int | None
    """Process numbers; None if there is none."""
    runner: int | None
    lines: bytes
    """Of the metrics, after those that were seen before."""


@dataclass(frozen=True)
class AppRun:
    """A run's folder among the app's files."""

    device: AppDevice
    shell: Device
    """The same device, where commands run as adb's shell."""
    folder: PurePosixPath

    def require_idle(self) -> None:
        """Raises ArtifactError when the app trains: it does one run at a time."""
        if self._look(0).runner is not None:
            raise ArtifactError(
                f"the app on {self.device} is training: wait for its end, or stop it there (it keeps a "
                "checkpoint)"
            )

    def train(
        self, artifact: str, left: int, on_step: Callable[[StepReport], None] | None = None
    ) -> WorkerRun:
        """Has the app train for `left` steps and follows it. Raises EnvironmentProblem when the app does not
        begin or was ended; what `on_step` raises, or an interrupt, stops it and goes on then.
        """
        run, place = WorkerRun("native"), self._metrics_bytes()
        self._intent(TRAIN, artifact=artifact, run=self.folder.name)
        app, begun, rest, deadline = None, False, b"", time.monotonic() + BEGIN_SECONDS
        try:
            while True:
                # The runner first: a line that it wrote before it ended is then in the metrics.
                seen = self._look(place)
                place += len(seen.lines)
                *lines, rest = (rest + seen.lines).split(b"\n")
                for line in lines:
                    run.steps.append(step_of(json.loads(line), run))
                    if on_step is not None:
                        on_step(run.steps[-1])
                app = seen.app or app
                begun = begun or seen.runner is not None or bool(run.steps)
                if begun and seen.runner is None and not seen.lines:
                    break
                if not begun and (time.monotonic() > deadline or (app and not seen.app)):
                    break
                time.sleep(POLL_SECONDS)
        except BaseException:
            with suppress(LowpeakError):
                self._stop()
            raise
        if len(run.steps) < left:
            self._end_early(run, begun, app, seen.app is not None)
        return run

    def _end_early(self, run: WorkerRun, begun: bool, app: int | None, alive: bool) -> None:
        """Raises EnvironmentProblem unless the run was stopped in the app."""
        steps = len(run.steps)
        kept = "; with --resume it goes on from its last checkpoint"
        if not alive and app is not None:
            why = self._why_ended(app)
            raise EnvironmentProblem(
                f"the app on {self.device} ended after {steps} steps: {why}{kept}", steps=steps
            )
        if not begun:
            raise EnvironmentProblem(
                f"the app on {self.device} has not begun to train within {BEGIN_SECONDS:.0f} s: unlock the "
                "device and look at its screen, where it says why"
            )
        run.stop_reason = "stopped in the app, which says why"

    def _intent(self, action: str, **extras: str) -> None:
        words = [word for name, value in extras.items() for word in ("--es", name, value)]
        told = self.shell.run(join(["am", "start", "-n", ACTIVITY, "-a", action, *words]) + " 2>&1")
        # It ends with 0 whatever happens.
        if "Error" in told or "Exception" in told:
            raise EnvironmentProblem(
                f"the app on {self.device} cannot be started: {told.strip().splitlines()[-1]}"
            )

    def _stop(self) -> None:
        """Asks the app, and then the runner itself, and waits for its end: a step and a checkpoint."""
        self._intent(STOP, run=self.folder.name)
        began, asked = time.monotonic(), False
        while (runner := self._look(0, 0).runner) is not None and time.monotonic() - began < END_SECONDS:
            if not asked and time.monotonic() - began > STOP_SECONDS:
                self.device.run(f"kill -TERM {runner} 2>/dev/null || true")
                asked = True
            time.sleep(POLL_SECONDS)

    def _look(self, place: int, most: int = 1 << 22) -> Seen:
        file = join([str(self.folder / METRICS)])
        script = f"""echo "$(pidof -s {PACKAGE}):$(pidof -s {RUNNER})"
        if [ -f {file} ]; then tail -c +{place + 1} {file} | head -c {most}; fi"""
        ended, told = self.device.attempt(script)
        numbers, _, lines = told.partition(b"\n")
        if b":" not in numbers:
            raise EnvironmentProblem(
                f"the app on {self.device} cannot be reached any more: {ended.stderr or 'it said nothing'}"
            )
        app, runner = numbers.split(b":")
        return Seen(int(app) if app else None, int(runner) if runner else None, lines)

    def _metrics_bytes(self) -> int:
        """Where the last whole line ends: the app cuts off half a line that it left when it was killed."""
        file = join([str(self.folder / METRICS)])
        script = f"if [ -f {file} ]; then stat -c %s {file}; tail -c {LINE_BYTES} {file}; else echo 0; fi"
        _, told = self.device.attempt(script)
        size, _, tail = told.partition(b"\n")
        return int(size) - len(tail.rpartition(b"\n")[2])

    def _why_ended(self, pid: int) -> str:
        told = self.shell.run(f"dumpsys activity exit-info {PACKAGE} 2>/dev/null || true")
        return reason_of(told, pid)


def reason_of(exit_info: str, pid: int) -> str:
    """What `dumpsys activity exit-info` says of a process, in words."""
    for record in exit_info.split("ApplicationExitInfo #")[1:]:
        if not re.search(rf"\bpid={pid}\b", record):
            continue
        match = re.search(r"\breason=(\d+)(?: \((.*?)\)(?= |$))?", record)
        if match is None:
            break
        number, name = int(match[1]), match[2] or f"reason {match[1]}"
        status = re.search(r"\bstatus=(\d+)", record)
        described = re.search(r"\bdescription=(.*?)(?: state=| trace=|\n|$)", record)
        more = f" ({described[1].strip()})" if described and described[1].strip() not in ("", "null") else ""
        if number == LOW_MEMORY:
            return (
                f"Android ended it because memory was low{more}: close other apps, or compile for a smaller "
                "budget"
            )
        if number == SIGNALED and status and status[1] == "9":
            return (
                f"it was killed by signal 9{more}, which is how low memory looks on devices that do not "
                "report it"
            )
        return f"the device says {name}{more}"
    return "the device does not say why (it can from Android 11 on)"
