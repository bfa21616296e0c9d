"""What of an artifact, a run or an adapter is whole, and what can be saved. It writes on request only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.layout import MANIFEST
from lowpeak_runtime.fsck.fsck_adapter import CONFIG_FILE, TENSORS_FILE, look_at_adapter
from lowpeak_runtime.fsck.fsck_artifact import look_at_artifact
from lowpeak_runtime.fsck.fsck_files import locked
from lowpeak_runtime.fsck.fsck_report import FsckReport, Kind
from lowpeak_runtime.fsck.fsck_run import ADAPTER, JOB, TRAINED, look_at_run, repair_run
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS

_OF_ARTIFACTS = ("graph.json", "plan.csv", "program.pte", "weights.ptd", "training_model.onnx")
_LOOK: dict[Kind, Callable[[Path, FsckReport], None]] = {
    "artifact": look_at_artifact,
    "run": look_at_run,
    "adapter": look_at_adapter,
}


def fsck(folder: str | Path, *, repair: bool = False, artifact: str | Path | None = None) -> FsckReport:
    """Looks at every file of the folder. `artifact`: of a run, where it is not beside it under the run's name
    without -trained.

    With `repair` the checkpoint before takes the place of a damaged one, the adapter is made from the newest
    whole checkpoint where it is missing or damaged, and what dead processes left is removed; never while a
    run trains there. Raises ArtifactError for a folder that is none of the three, or is in use and to be
    repaired.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is {'a file' if folder.exists() else 'not there'}: give a folder")
    kind = _kind(folder)
    with locked(folder, repair) as in_use:
        report = FsckReport(folder, kind, in_use)
        _LOOK[kind](folder, report)
        if repair:
            if in_use:
                raise ArtifactError(f"a run trains in {folder}: wait for its end, and repair then")
            _repair(folder, report, None if artifact is None else Path(artifact))
            report.findings.clear()
            _LOOK[kind](folder, report)
    return report


def _kind(folder: Path) -> Kind:
    names = set(os.listdir(folder))
    if MANIFEST in names or names & set(_OF_ARTIFACTS):
        return "artifact"
    if names & {CONFIG_FILE, TENSORS_FILE}:
        return "adapter"
    if names & {CHECKPOINT, PREVIOUS, JOB, ADAPTER, TRAINED} or any(folder.glob(f".{CHECKPOINT}.*")):
        return "run"
    raise ArtifactError(f"{folder} is no artifact, run or adapter: it has no file of one")


def _repair(folder: Path, report: FsckReport, artifact: Path | None) -> None:
    if report.kind == "run":
        repair_run(folder, report, artifact)
    for each in report.findings:
        if each.state != "leftover":
            continue
        path = folder / each.file
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            raise EnvironmentProblem(f"{path} cannot be removed: {error.strerror}") from error
        report.repaired.append(f"{each.file} was removed")
