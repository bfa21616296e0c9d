"""A run's metrics as NDJSON: one object a step, added to the file as the step ends."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.folder_lock import take
from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.train.supervisor import StepReport


class Metrics:
    """Writes lines to `file`, which a step that is repeated after a kill is added to once more."""

    def __init__(self, file: FileIO, manifest: Manifest) -> None:
        self._file = file
        self._manifest = manifest

    def write(self, step: StepReport) -> None:
        """Raises EnvironmentProblem when the disk is full."""
        line = {
            "step": step.step,
            "loss": step.loss,
            "seconds": step.seconds,
            "tokens_per_second": step.tokens_per_second,
            "rss_bytes": step.rss_bytes,
            "anonymous_bytes": step.anonymous_bytes,
            "peak_rss_bytes": step.peak_rss_bytes,
            "peak_anonymous_bytes": step.peak_anonymous_bytes,
            "peak_held_bytes": step.peak_held_bytes,
            "planned_peak_bytes": self._manifest.planned_peak_bytes,
            "planned_anonymous_bytes": self._manifest.planned_anonymous_bytes,
            "budget_bytes": self._manifest.budget_bytes,
            "examples": None if step.data is None else dataclasses.asdict(step.data),
        }
        try:
            self._file.write((json.dumps(line) + "\n").encode())
        except OSError as error:
            raise _cannot_write(self._file.name, error) from error


@contextmanager
def metrics_file(path: Path, manifest: Manifest) -> Iterator[Metrics]:
    """One run's at a time. Raises ArtifactError when another process has it, EnvironmentProblem when it is no
    regular file or cannot be written.
    """
    try:
        # Without a buffer a full disk is met by the line that does not fit; a pipe without a reader blocks.
        file = FileIO(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK, 0o666))
    except OSError as error:
        raise _cannot_write(path, error) from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise EnvironmentProblem(f"the metrics cannot be written to {path}: it is no regular file")
        take(file.fileno(), path, "writes its metrics to", "file")
        yield Metrics(file, manifest)


def _cannot_write(path: object, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"the metrics cannot be written to {path}: {error.strerror}; give another file, or none"
    )
