"""A run's folder: one process's at a time, from the look for a checkpoint to the trained adapter.

checkpoint.safetensors    while training and after it; checkpoint.previous.safetensors the one before
adapter/                  the trained adapter as PEFT files; trained.safetensors for a plain module
job.json, batches/        between `prepare` and the end of what was prepared
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.disk import require_no_dead_link
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.folder_lock import is_at, locked
from lowpeak_artifact.make_folder import make_folder
from lowpeak_artifact.manifest import Manifest
from lowpeak_artifact.safetensors_file import write_safetensors
from lowpeak_artifact.whole_file import writing_beside
from lowpeak_export.adapter import require_replaceable, save_peft_adapter, tensors_of_file
from lowpeak_runtime.data.batch_file import remove_batches
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    Tell,
    newest_whole,
    read_progress,
    require_same_run,
)
from lowpeak_runtime.train.checkpoint_tensors import load_adapter
from lowpeak_runtime.train.run_checks import holds_a_run, require_no_artifact
from lowpeak_runtime.train.session import BATCHES, Job

ADAPTER = "adapter"
TRAINED = "trained.safetensors"
JOB = "job.json"

HELD = f".{JOB}.held"
"""Keeps others from removing the folder as an empty one, which they may have made to look for room."""

_LEFT_BEHIND = (f".{CHECKPOINT}.*", f".{TRAINED}.*", f".{ADAPTER}.*", f".{JOB}.*", ".deploy-*")
"""What a process that was killed leaves of its writing."""


@contextmanager
def run_folder(out: Path) -> Iterator[int]:
    """The folder, made if it is not there, is this process's meanwhile; the descriptor holds its lock.

    Raises ArtifactError when it is an artifact's, another process works there, or folders lie where files are
    to go, EnvironmentProblem when it
    cannot be made.
    """
    require_no_artifact(out)
    require_no_dead_link(out)
    while True:
        try:
            make_folder(out)
        except OSError as error:
            raise EnvironmentProblem(f"the folder {out} cannot be made: {error.strerror}") from error
        with locked(out) as descriptor:
            try:
                (out / HELD).touch()
            except FileNotFoundError:
                continue
            try:
                # Another may have removed it, as empty, after it was opened here.
                if not is_at(descriptor, out):
                    continue
                _remove_left_behind(out)
                require_replaceable(out / ADAPTER)
                _require_no_folders(out)
                yield descriptor
            finally:
                (out / HELD).unlink(missing_ok=True)
                with suppress(OSError):
                    # One that nothing came into.
                    out.rmdir()
        return


def _require_no_folders(out: Path) -> None:
    """Where files are to go, before any work is done for them."""
    for name in (CHECKPOINT, PREVIOUS, TRAINED):
        if (out / name).is_dir() and not (out / name).is_symlink():
            raise ArtifactError(
                f"{out / name} is a folder, where the run writes a file: take it away, or give a new folder"
            )


def _remove_left_behind(out: Path) -> None:
    # Killed between two renames, the earlier adapter lies aside.
    for aside in out.glob(f".{ADAPTER}.previous.*/{ADAPTER}"):
        if not (out / ADAPTER).exists():
            aside.rename(out / ADAPTER)
    for path in (path for pattern in _LEFT_BEHIND for path in out.glob(pattern)):
        # What a phone's checkpoint has sent so far is gone on with.
        if path.suffix == ".phone" or path.name == HELD:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def started(job: Job, manifest: Manifest, out: Path, resume: bool) -> Job:
    """From the step to begin with. Raises ArtifactError when `out` holds a run that is not to be continued,
    or another one.
    """
    checkpoint = newest_whole(out)
    if checkpoint is None:
        return job
    progress = read_progress(checkpoint)
    if not resume:
        raise holds_a_run(out, progress.step)
    require_same_run(checkpoint, progress, job.progress(manifest, progress.step, progress.position))
    return job.continued(progress)


def save_adapter(out: Path, artifact: Artifact, tell: Tell) -> Path | None:
    """Writes the adapter of the run's newest whole checkpoint -> the PEFT folder, or the file of a plain
    module; None without a checkpoint. `tell` is told when it is not the newest of all.
    """
    checkpoint = newest_whole(out, tell)
    if checkpoint is None:
        return None
    tensors = load_adapter(checkpoint)
    config = artifact.manifest.adapter_config
    if config is not None:
        save_peft_adapter(out / ADAPTER, tensors_of_file(artifact, tensors), config)
        return out / ADAPTER
    declared = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()]
    with writing_beside(out / TRAINED) as file:
        write_safetensors(file, declared, tensors.__getitem__)
    return out / TRAINED


def remove_prepared(out: Path) -> None:
    """What an earlier `prepare` wrote: the batches are of the user's data."""
    remove_batches(out / BATCHES)
    (out / JOB).unlink(missing_ok=True)
