"""Where things lie on a device: under a folder of adb's shell, or among the app's own files."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.train.checkpoint import artifact_id

ROOT = PurePosixPath("/data/local/tmp/lowpeak")
"""Where adb's shell may write and start programs."""
PROGRAMS = ROOT / "bin"
METRICS = "metrics.ndjson"
"""In a run's folder of the app: a line a step."""
EVENTS = "events.ndjson"
"""In a run's folder: what the runner told, of all its starts."""
STDERR = "stderr"
PROCESS = "pid"
STATUS = "status"
THREADS = "threads.json"
"""The number of threads that the runner chose, which a run that goes on keeps."""
OWN_FILES = (EVENTS, STDERR, PROCESS, STATUS, THREADS)
"""Files of a run's folder that are made on the device."""


def artifact_folder(manifest: Manifest, root: PurePosixPath) -> PurePosixPath:
    """By what is in it: a second run of the same artifact finds it there."""
    return root / "artifacts" / artifact_id(manifest)[:16]


def run_name(out: Path, name: str | None) -> str:
    """What a run is called on the device: as its folder here, unless it is named.

    Raises ArtifactError for a name that no folder can have.
    """
    name = out.resolve().name if name is None else name
    if name in ("", ".", "..") or any(c == "/" or c < " " for c in name):
        raise ArtifactError(f"{name!r} cannot be the name of a run: a folder is called so")
    return name


def run_folder(name: str, root: PurePosixPath = ROOT) -> PurePosixPath:
    return root / "runs" / name
