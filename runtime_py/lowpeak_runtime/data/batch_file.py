"""The batches of a run: safetensors files in a folder, each of some batches that follow each other.

    <first>-<end>.safetensors               batches `first` to `end` - 1 of the run, from 0
        buckets      int64 [batches]                  the bucket of each
        ends         int64 [batches]                  where each ends in the data's order, for checkpoints
        <i>.<input>  [batches of bucket i, *shape]    in the order of the steps

A file appears whole, by a rename. Where they are written while the run goes on (a streamed job), a byte on
the trainer's stdin tells of each, and the end of stdin that no more will come; such a file loses its name as
it is opened, so that what is private in it does not outlive the run, however that ends.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lowpeak_artifact.errors import DataError, EnvironmentProblem
from lowpeak_artifact.regular_file import open_regular, read_into
from lowpeak_artifact.safetensors_file import DTYPES, bytes_of, tensor_bytes, write_safetensors
from lowpeak_artifact.safetensors_header import Damaged, read_header
from lowpeak_artifact.whole_file import writing_beside

NOBODY_WRITES = "nobody writes the batches"
"""Why a run stops whose batches do not come any more."""

_BUCKETS, _ENDS = "buckets", "ends"
_SUFFIX = ".safetensors"
_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class PreparedBatch:
    """The index of its bucket, its graph inputs by name, and where it ends in the order of the data."""

    bucket: int
    inputs: Mapping[str, Tensor]
    end: int


class Stop(Protocol):
    """A wish to stop: not None."""

    reason: str | None


def packed(batches: Iterable[PreparedBatch]) -> dict[str, Tensor]:
    """The tensors of a file."""
    buckets, ends = [], []
    rows: dict[str, list[Tensor]] = {}
    for batch in batches:
        buckets.append(batch.bucket)
        ends.append(batch.end)
        for name, tensor in batch.inputs.items():
            rows.setdefault(f"{batch.bucket}.{name}", []).append(tensor)
    tensors = {name: torch.stack(tensors) for name, tensors in rows.items()}
    return {_BUCKETS: torch.tensor(buckets), _ENDS: torch.tensor(ends), **tensors}


def write_batch_file(folder: Path, first: int, batches: list[PreparedBatch]) -> Path:
    """Of mode 0600, as it holds the user's text.

    Raises EnvironmentProblem when the disk has no room or the folder cannot be written.
    """
    path = folder / f"{first}-{first + len(batches)}{_SUFFIX}"
    tensors = packed(batches)
    try:
        # They are made again after a power failure.
        with writing_beside(path, lasting=False, mode=0o600) as file:
            declared = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()]
            write_safetensors(file, declared, tensors.__getitem__)
        return path
    except OSError as error:
        size = sum(tensor.nbytes for tensor in tensors.values())
        raise EnvironmentProblem(
            f"{size} bytes of batches cannot be written to {folder}: {error.strerror}; free room there, or "
            "name another folder for temporary files by TMPDIR",
            bytes=size,
        ) from error


def remove_batches(folder: Path) -> None:
    """All files of batches in the folder, also half written ones, and the folder if nothing is left in it.

    What else lies there is not touched, nor what a link leads to.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in folder.iterdir():
        if _numbers(path.name.removeprefix(".").removesuffix(".tmp")) is not None:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _numbers(name: str) -> tuple[int, int] | None:
    """The first of the batches in the file of that name, and the one after the last; None for others."""
    numbers = name.removesuffix(_SUFFIX).split("-")
    if not name.endswith(_SUFFIX) or len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        return None
    return int(numbers[0]), int(numbers[1])


class BatchFolder:
    """The batches of a run, one after the other."""

    def __init__(self, folder: str | Path, *, streamed: bool = False) -> None:
        """`streamed`: files that are not there yet are waited for."""
        self._folder = Path(folder)
        self._streamed = streamed
        self._file: _BatchFile | None = None
        self.end = 0
        """Where the batch that was read last ends in the order of the data."""

    def at(self, index: int, stop: Stop) -> tuple[int, dict[str, Tensor]] | None:
        """The bucket and the inputs of the batch; None after a wish to stop, which is here made when no more
        batches will come. Raises DataError for a batch that is not there and is not waited for.
        """
        while self._file is None or not self._file.first <= index < self._file.limit:
            self._file = None
            path = self._find(index)
            if path is not None:
                self._file = _BatchFile(path)
                if self._streamed:
                    path.unlink(missing_ok=True)
            elif not self._streamed:
                raise DataError(f"the batches in {self._folder} lack batch {index}: prepare them again")
            elif not _told_of_more() and self._find(index) is None:
                stop.reason = stop.reason or NOBODY_WRITES
            if self._file is None and stop.reason is not None:
                return None
        bucket, inputs, self.end = self._file.at(index)
        return bucket, inputs

    def _find(self, index: int) -> Path | None:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                numbers = _numbers(entry.name)
                if numbers is not None and numbers[0] <= index < numbers[1]:
                    return Path(entry.path)
        return None


class _BatchFile:
    def __init__(self, path: Path) -> None:
        """Raises DataError for one that is damaged."""
        self.first, self.limit = map(int, path.name.removesuffix(_SUFFIX).split("-"))
        self._path = path
        try:
            self._file = open_regular(path)
            self._stored = read_header(self._file).tensors
            for name, stored in self._stored.items():
                known = DTYPES.get(stored.dtype)
                if known is None or tensor_bytes(stored.shape, known) != stored.end - stored.begin:
                    raise Damaged(f"{name} has not the bytes of its shape")
            if not self._stored.keys() >= {_BUCKETS, _ENDS}:
                raise Damaged("it does not say of which buckets its batches are")
        except (Damaged, OSError) as error:
            raise DataError(f"{path} cannot be read as batches: {error}; prepare them again") from error
        self._ends = self._read(_ENDS).tolist()
        self._places: list[tuple[int, int]] = []
        counts: dict[int, int] = {}
        for bucket in self._read(_BUCKETS).tolist():
            row = counts.get(bucket, 0)
            self._places.append((bucket, row))
            counts[bucket] = row + 1

    def at(self, index: int) -> tuple[int, dict[str, Tensor], int]:
        bucket, row = self._places[index - self.first]
        start = f"{bucket}."
        names = [name for name in self._stored if name.startswith(start)]
        inputs = {name.removeprefix(start): self._read(name, row) for name in names}
        return bucket, inputs, self._ends[index - self.first]

    def _read(self, name: str, row: int | None = None) -> Tensor:
        """A tensor, or one of its rows."""
        stored = self._stored[name]
        shape = stored.shape if row is None else stored.shape[1:]
        tensor = torch.empty(shape, dtype=DTYPES[stored.dtype])
        try:
            read_into(self._file.fileno(), stored.begin + (row or 0) * tensor.nbytes, bytes_of(tensor))
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {error.strerror}") from error
        return tensor


def _told_of_more() -> bool:
    """Waits a while for a word that there is another file; False when there will be none."""
    if not select.select([0], [], [], _WAIT_SECONDS)[0]:
        return True
    return bool(os.read(0, 1 << 12))
