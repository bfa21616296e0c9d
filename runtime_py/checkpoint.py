"""The state of a training run in one safetensors file that is whole or absent, whatever happens meanwhile.

    adapter.<name>       the adapter's tensors
    optimizer.<name>     the optimizer's state

The header's metadata says of which artifact, step, data order and optimizer it is. Tensors are written one by
one from where they lie: a checkpoint costs no memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError, safe_open
from torch import Tensor

from compiler.errors import ArtifactError, EnvironmentProblem
from export.manifest import Manifest
from export.safetensors_file import write_safetensors

FORMAT = "lowpeak-checkpoint-2"

_PIECE_BYTES = 1 << 22
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@dataclass(frozen=True)
class Progress:
    """Where a run is, and what it must not change in order to continue."""

    artifact: str
    """`artifact_id` of the artifact that is trained."""

    step: int
    """Updates made."""

    seed: int
    """Of the data's order."""

    options: str
    """Fingerprint of the optimizer's options and all else that later steps depend on."""

    data: str
    """SHA-256 of what is trained on."""

    position: int
    """Where the last step ended in the order of the data."""


def artifact_id(manifest: Manifest) -> str:
    """Changes with anything that the manifest says, so with every file of the artifact."""
    return manifest.sha256


def save_checkpoint(
    path: Path, progress: Progress, adapter: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Writes a temporary file beside `path`, syncs it and renames it over an earlier checkpoint.

    One process at a time may write there. Raises EnvironmentProblem when the disk has no room or the folder
    cannot be written; the earlier checkpoint is then intact.
    """
    tensors = _names(adapter, state)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            declared = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()]
            metadata = {"format": FORMAT, "progress": json.dumps(dataclasses.asdict(progress))}
            write_safetensors(file, declared, tensors.__getitem__, metadata)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        size = sum(tensor.nbytes for tensor in tensors.values())
        kept = "the earlier checkpoint is intact" if path.exists() else "there is no checkpoint yet"
        what = "no room" if error.errno in _NO_ROOM else str(error.strerror)
        raise EnvironmentProblem(
            f"a checkpoint of {size} bytes cannot be written to {path}: {what}; {kept}. Free {size} bytes or "
            "give another folder, and resume",
            bytes=size,
        ) from error


def read_progress(path: Path) -> Progress:
    """Raises ArtifactError when the file is no checkpoint or damaged."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ArtifactError(f"{path} is no checkpoint of this version of lowpeak")
    try:
        return Progress(**json.loads(metadata["progress"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is a damaged checkpoint: {error}") from error


def require_same_run(path: Path, found: Progress, wanted: Progress) -> None:
    """Raises ArtifactError for the first thing, but the step, in which a checkpoint is of another run."""
    if found.artifact != wanted.artifact:
        raise ArtifactError(
            f"{path} is a checkpoint of another artifact (manifest {found.artifact[:12]}, this one is "
            f"{wanted.artifact[:12]}): resume with that artifact, or train into a new folder"
        )
    for name in ("seed", "options"):
        before, now = getattr(found, name), getattr(wanted, name)
        if before != now:
            raise ArtifactError(
                f"{path} is a checkpoint of a run with {name} {before}, now it is {now}: a resumed run keeps "
                "them; use the same, or train into a new folder"
            )
    if found.data != wanted.data:
        raise ArtifactError(
            f"{path} is a checkpoint of a run on other data (sha256 {found.data[:12]}, now it is "
            f"{wanted.data[:12]}): resume with that data, or train into a new folder"
        )


def restore_checkpoint(
    path: Path, wanted: Progress, adapter: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> int:
    """Writes the checkpoint into the tensors given -> the updates made; ArtifactError unless it fits."""
    found = read_progress(path)
    require_same_run(path, found, wanted)
    tensors = _names(adapter, state)
    try:
        with safe_open(path, "pt") as file:
            if set(file.keys()) != set(tensors):
                odd = min(set(file.keys()) ^ set(tensors))
                raise ArtifactError(f"{path} is of another artifact: {odd} is in only one of the two")
            for name, tensor in tensors.items():
                shape = file.get_slice(name).get_shape()
                if list(shape) != list(tensor.shape):
                    raise ArtifactError(
                        f"{path} is of another artifact: {name} has shape {shape}, not {list(tensor.shape)}"
                    )
                tensor.copy_(file.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error
    return found.step


def copy_state(path: Path, name: str, file: BinaryIO) -> None:
    """Writes the bytes of a part of the optimizer's state to `file`, piece by piece. Raises ArtifactError
    when the checkpoint has no such part or cannot be read.
    """
    try:
        with safe_open(path, "pt") as checkpoint:
            if f"optimizer.{name}" not in checkpoint.keys():  # noqa: SIM118
                raise ArtifactError(f"{path} is of another artifact: it has no state of {name}")
            state = checkpoint.get_slice(f"optimizer.{name}")
            (size,) = state.get_shape()
            for start in range(0, size, _PIECE_BYTES):
                file.write(state[start : min(start + _PIECE_BYTES, size)].numpy().data)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error


def load_adapter(path: Path) -> dict[str, Tensor]:
    """The adapter's tensors of a checkpoint by name. Raises ArtifactError when it cannot be read."""
    read_progress(path)
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith("adapter.")]  # noqa: SIM118
            return {name.removeprefix("adapter."): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error


def _names(adapter: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        **{f"adapter.{name}": tensor for name, tensor in adapter.items()},
        **{f"optimizer.{name}": tensor for name, tensor in state.items()},
    }


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
