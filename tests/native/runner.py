"""lowpeak-runner in place of the Python worker: built, started, followed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lowpeak_export.executorch.library import RUNNER_VARIABLE
from lowpeak_runtime.train.session import Job
from tests.native.build import build


def runner() -> Path:
    """The program. RuntimeError if it cannot be built."""
    return build() / "trainer" / "lowpeak-runner"


def use_runner(patch: pytest.MonkeyPatch) -> None:
    """`train` finds the program."""
    patch.setenv(RUNNER_VARIABLE, str(runner()))
    patch.delenv("LD_PRELOAD", raising=False)


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
    """Starts the program with some flags."""

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
