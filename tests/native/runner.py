"""lowpeak-runner in place of the Python worker: built, started, followed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import executorch
import pytest

from export.executorch.library import RUNNER_VARIABLE
from runtime_py.session import Job
from tests.native import build

LIBRARIES = Path(next(iter(executorch.__path__))) / "lib"
"""Of the package; the program is not installed beside it."""


@cache
def runner(sanitize: bool = False) -> Path:
    """The program. RuntimeError if it cannot be built."""
    checkout = hashlib.sha256(str(build._SOURCES).encode()).hexdigest()[:12]
    name = f"lowpeak-runner-{checkout}{'-sanitized' if sanitize else ''}"
    folder = Path(tempfile.gettempdir()) / name
    options = [
        "-DLOWPEAK_RUNNER=ON",
        f"-DLOWPEAK_SANITIZE={'ON' if sanitize else 'OFF'}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    build._run(["cmake", "-S", str(build._SOURCES), "-B", str(folder), "-G", "Ninja", *options])
    build._run(["cmake", "--build", str(folder), "--target", "lowpeak-runner"])
    return folder / "trainer" / "lowpeak-runner"


def use_runner(patch: pytest.MonkeyPatch) -> None:
    """`train` finds the program."""
    patch.setenv(RUNNER_VARIABLE, str(runner(os.environ.get("LOWPEAK_SANITIZE") == "1")))
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

    def start(self, job: Path) -> subprocess.Popen[bytes]:
        sanitize = os.environ.get("LOWPEAK_SANITIZE") == "1"
        environment = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES), **self.environment}
        environment.pop("LD_PRELOAD", None)
        return subprocess.Popen(
            [str(runner(sanitize)), str(job), *self.flags],
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
