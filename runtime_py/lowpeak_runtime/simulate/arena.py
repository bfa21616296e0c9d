"""The memory of a simulated device: an arena of bytes that holds every tensor, a file for offloaded ones."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType

import torch
from torch import Tensor

from lowpeak_artifact.disk import temporary_folder
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.scheduled import TensorPlace

POISON = 0xFF
"""Bytes that hold nothing: NaN as a float, -1 as an index."""


class Arena:
    """`nbytes` of poison. `touched_bytes`: the end of the highest tensor that was read or written."""

    def __init__(self, nbytes: int) -> None:
        try:
            self._bytes = torch.full((nbytes,), POISON, dtype=torch.uint8)
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"this machine cannot hold the artifact's arena of {nbytes} bytes", needed_bytes=nbytes
            ) from error
        self.touched_bytes = 0

    def view(self, place: TensorPlace) -> Tensor:
        """The tensor at its place: the arena's own bytes."""
        assert place.offset is not None
        end = place.offset + place.nbytes
        self.touched_bytes = max(self.touched_bytes, end)
        return self._bytes[place.offset : end].view(place.dtype).view(place.shape)

    def poison(self, place: TensorPlace) -> None:
        """Forgets a tensor that is dead."""
        assert place.offset is not None
        self._bytes[place.offset : place.offset + place.nbytes] = POISON

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor is made of the arena's bytes."""
        return tensor.untyped_storage().data_ptr() == self._bytes.untyped_storage().data_ptr()


class OffloadFile:
    """Offloaded values in a temporary file, which is gone at the end of the `with` block."""

    def __enter__(self) -> OffloadFile:
        self._file = tempfile.TemporaryFile(dir=temporary_folder())
        self._sizes: dict[int, int] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def store(self, offset: int, tensor: Tensor) -> None:
        """Writes the bytes of the tensor, `offset` bytes into the file."""
        data = tensor.contiguous().flatten().view(torch.uint8).numpy().data
        self._sizes[offset] = len(data)
        while data:
            written = os.pwrite(self._file.fileno(), data, offset)
            data, offset = data[written:], offset + written

    def load(self, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The tensor that lies there. Raises ArtifactError when none of that size was stored."""
        wanted = TensorPlace(shape, dtype, None, None).nbytes
        size = self._sizes.get(offset)
        if size != wanted:
            stored = 0 if size is None else size
            raise ArtifactError(
                f"a load wants {wanted} bytes at {offset} of the offload file, where {stored} were stored"
            )
        tensor = torch.empty(wanted, dtype=torch.uint8)
        read = 0
        while read < wanted:
            read += os.preadv(self._file.fileno(), [tensor.numpy().data[read:]], offset + read)
        return tensor.view(dtype).view(shape)
