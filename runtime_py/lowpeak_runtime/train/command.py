"""How a training process is started: lowpeak-runner where it is there for the artifact, else a Python module.

Both take the same job.json, tell the same events and continue each other's checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.manifest import Manifest
from lowpeak_artifact.python_process import python_process
from lowpeak_export.executorch.library import LOWPEAK, ops_library, remedy, runner_program
from lowpeak_runtime.train.session import ONNXRUNTIME

Engine = Literal["auto", "native", "python"]
"""What trains: the program without Python, the Python worker, or the first of the two that can."""

# glibc keeps freed memory in an arena a thread, and raises the size from which it maps and unmaps: both make
# the peak depend on chance.
# Values below the threshold lie in a heap that only shrinks at its end.
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}


@dataclass(frozen=True)
class Command:
    """A program that trains."""

    engine: Literal["native", "python"]
    arguments: tuple[str, ...]
    """The job's file comes after them."""
    environment: Mapping[str, str]
    """In place of this process's variables of the same names."""


def worker_command(manifest: Manifest, engine: Engine) -> Command:
    """For an artifact whose files have been verified already.

    Raises EnvironmentProblem when a native run is asked for and there is none, or the artifact's kernels are
    not there.
    """
    if engine == "python":
        return python_command()
    program = None if manifest.target == ONNXRUNTIME else runner_program()
    if program is not None:
        return _runner_command(program, manifest)
    if engine == "auto":
        return python_command()
    if manifest.target == ONNXRUNTIME:
        raise EnvironmentProblem(
            "lowpeak-runner trains artifacts for ExecuTorch, this one was compiled for onnxruntime: use "
            "engine='python'"
        )
    raise EnvironmentProblem(
        f"this installation of lowpeak has no lowpeak-runner: {remedy()}, name one by the environment "
        "variable LOWPEAK_RUNNER, or use engine='python'"
    )


def python_command(module: str = "lowpeak_runtime.train.worker") -> Command:
    """A module that tells the events of lowpeak_runtime/train/events.py."""
    return Command(
        "python",
        python_process(module),
        MALLOC,
    )


def _runner_command(program: Path, manifest: Manifest) -> Command:
    operators = ("--ops-library", str(ops_library())) if manifest.kernels == LOWPEAK else ()
    return Command("native", (str(program), "--metrics", "--no-verify", *operators), {})
