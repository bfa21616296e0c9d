"""What is wrong with a run's folder and can be said before torch is loaded."""

from __future__ import annotations

from pathlib import Path

from lowpeak_artifact.disk import require_no_dead_link
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.folder_lock import locked
from lowpeak_artifact.layout import MANIFEST


def holds_a_run(out: Path, step: int) -> ArtifactError:
    """A run that begins replaces no other."""
    return ArtifactError(
        f"{out} holds a training run of {step} steps: resume it, or give a new folder", steps=step
    )


def require_no_artifact(out: Path) -> None:
    """ArtifactError for an artifact's folder: a run's files are none that its manifest lists."""
    if (out / MANIFEST).exists():
        raise ArtifactError(f"{out} holds an artifact ({MANIFEST}): give another folder for the run")


def require_idle(out: Path) -> None:
    """ArtifactError when another process works in the folder, or it is an artifact's, EnvironmentProblem when
    it is a link to nothing. One that is not there yet is idle.
    """
    require_no_dead_link(out)
    if out.is_dir():
        require_no_artifact(out)
        with locked(out):
            pass
