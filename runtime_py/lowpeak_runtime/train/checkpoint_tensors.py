"""The tensors of a checkpoint, written from where they lie and restored into it: it costs no memory.

    adapter.<name>       the adapter's tensors
    optimizer.<name>     the optimizer's state

The header's metadata says of which artifact, step, data order and optimizer it is (checkpoint_format.py).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.regular_file import open_regular, read_into
from lowpeak_artifact.safetensors_file import DTYPE_NAMES, write_safetensors
from lowpeak_artifact.safetensors_header import Damaged, read_header
from lowpeak_artifact.whole_file import writing_beside
from lowpeak_runtime.train.checkpoint import give_up_previous, install, previous_of, require_same_run
from lowpeak_runtime.train.checkpoint_format import Checksummed, Progress, metadata_of, verify
from lowpeak_runtime.train.optimizer import is_finite

_PIECE_BYTES = 1 << 22
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM = (*_FULL, errno.EFBIG)


def save_checkpoint(
    path: Path, progress: Progress, adapter: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Writes a temporary file beside `path`, syncs it and gives it that name; an earlier checkpoint there
    becomes the one before. On a full disk the one before that is given up for its room.

    One process at a time may write there. Raises EnvironmentProblem when the disk has no room or the folder
    cannot be written; the earlier checkpoint is then intact.
    """
    tensors = _names(adapter, state)
    try:
        try:
            _write(path, progress, tensors)
        except OSError as error:
            if error.errno not in _FULL or not give_up_previous(path):
                raise
            _write(path, progress, tensors)
    except OSError as error:
        size = sum(tensor.nbytes for tensor in tensors.values())
        earlier = path.exists() or previous_of(path).exists()
        kept = "the earlier checkpoint is intact" if earlier else "there is no checkpoint yet"
        what = "no room" if error.errno in _NO_ROOM else str(error.strerror)
        raise EnvironmentProblem(
            f"a checkpoint of {size} bytes cannot be written to {path}: {what}; {kept}. Free {size} bytes or "
            "give another folder, and resume",
            bytes=size,
        ) from error


def _write(path: Path, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    declared = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()]
    with writing_beside(path, install) as file:
        summed = Checksummed(file)
        write_safetensors(summed, declared, tensors.__getitem__, metadata_of(progress))
        summed.finish()


def restore_checkpoint(
    path: Path, wanted: Progress, adapter: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> int:
    """Writes the checkpoint into the tensors given -> the updates made; ArtifactError unless it is whole and
    fits.
    """
    checkpoint = _verified(path)
    require_same_run(path, checkpoint, wanted)
    tensors = _names(adapter, state)
    try:
        with safe_open(path, "pt", backend="pread") as file:
            if set(file.keys()) != set(tensors):
                odd = min(set(file.keys()) ^ set(tensors))
                raise ArtifactError(f"{path} is of another artifact: {odd} is in only one of the two")
            for name, tensor in tensors.items():
                stored = file.get_slice(name)
                shape, dtype = stored.get_shape(), stored.get_dtype()
                if list(shape) != list(tensor.shape) or dtype != DTYPE_NAMES[tensor.dtype]:
                    raise ArtifactError(
                        f"{path} is of another artifact: {name} has shape {shape} and type {dtype}, not "
                        f"{list(tensor.shape)} and {DTYPE_NAMES[tensor.dtype]}"
                    )
                tensor.copy_(file.get_tensor(name))
                if not is_finite(tensor):
                    raise ArtifactError(f"{path} is damaged: {name} holds values that are not finite")
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error
    return checkpoint.step


def copy_state(path: Path, name: str, file: BinaryIO) -> None:
    """Writes the bytes of a part of the optimizer's state to `file`, piece by piece. Raises ArtifactError
    when the checkpoint is damaged, or has no such part.
    """
    _verified(path)
    try:
        with open_regular(path) as checkpoint:
            state = read_header(checkpoint).tensors.get(f"optimizer.{name}")
            if state is None:
                raise ArtifactError(f"{path} is of another artifact: it has no state of {name}")
            if len(state.shape) != 1 or state.dtype != DTYPE_NAMES[torch.uint8]:
                raise ArtifactError(
                    f"{path} is of another artifact: its state of {name} has shape {list(state.shape)} and "
                    f"type {state.dtype}"
                )
            for start in range(state.begin, state.end, _PIECE_BYTES):
                piece = memoryview(bytearray(min(_PIECE_BYTES, state.end - start)))
                read_into(checkpoint.fileno(), start, piece)
                file.write(piece)
    except (Damaged, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error


def load_adapter(path: Path) -> dict[str, Tensor]:
    """The adapter's tensors of a checkpoint by name. Raises ArtifactError when it is damaged."""
    _verified(path)
    try:
        with safe_open(path, "pt", backend="pread") as file:
            names = [name for name in file.keys() if name.startswith("adapter.")]  # noqa: SIM118
            return {name.removeprefix("adapter."): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as a checkpoint: {error}") from error


def _verified(path: Path) -> Progress:
    try:
        return verify(path)
    except Damaged as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


def _names(adapter: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        **{f"adapter.{name}": tensor for name, tensor in adapter.items()},
        **{f"optimizer.{name}": tensor for name, tensor in state.items()},
    }
