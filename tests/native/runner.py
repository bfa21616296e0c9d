"""lowpeak-runner in place of the Python worker: built, started, followed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime_py import supervisor
from runtime_py.memory import MemoryUse
from runtime_py.session import Job
from runtime_py.supervisor import StepReport, WorkerRun
from tests.native.build import build


def runner() -> Path:
    """The program. RuntimeError if it cannot be built."""
    return build() / "trainer" / "lowpeak-runner"


@dataclass
class Ended:
    """What a run told."""

    returncode: int
    events: list[dict[str, Any]]
    stderr: str

    @property
    def losses(self) -> list[float]:
        return [event["loss"] for event in self.events if event["event"] == "step"]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]


@dataclass
class Runner:
    """Starts the program with some flags; `supervise` stands in for runtime_py.supervisor's."""

    flags: Sequence[str] = ()
    preexec: Callable[[], None] | None = None
    """Called in the new process before it becomes the program."""
    environment: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    """What is run instead of the program built for this machine."""

    def start(self, job: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.environment}
        # A sanitizer is preloaded into Python only, whose leaks are allowed; the runner's are not.
        environment.pop("LD_PRELOAD", None)
        environment.pop("ASAN_OPTIONS", None)
        return subprocess.Popen(
            [*(self.command or [str(runner())]), str(job), *self.flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            preexec_fn=self.preexec,
        )

    def run(self, job: Job, folder: Path) -> Ended:
        """To its end."""
        file = folder / "job.json"
        file.write_text(job.to_json(), encoding="utf-8")
        with self.start(file) as child:
            out, err = child.communicate()
        events = [json.loads(line) for line in out.decode().splitlines()]
        return Ended(child.returncode, events, err.decode())

    def supervise(
        self, job: Job, folder: Path, on_step: Callable[[StepReport], None] | None = None
    ) -> WorkerRun:
        """As runtime_py.supervisor.supervise does; memory is not watched."""
        file = folder / "job.json"
        file.write_text(job.to_json(), encoding="utf-8")
        run = WorkerRun(baseline=MemoryUse(0, 0, 0))
        with self.start(file) as child:
            assert child.stdout is not None and child.stderr is not None
            try:
                for line in child.stdout:
                    event = json.loads(line)
                    kind = event.pop("event")
                    if kind == "error":
                        raise supervisor._error(event)
                    if kind == "step":
                        run.steps.append(StepReport(**event))
                        if on_step is not None:
                            on_step(run.steps[-1])
                child.wait()
                if child.returncode:
                    raise supervisor._ended(child.returncode, child.stderr.read().decode(), run, job)
            finally:
                child.stdout.close()
                child.terminate()
        return run
