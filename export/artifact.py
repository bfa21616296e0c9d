"""An artifact on disk, read: a folder whose manifest lists every file with its size and hash.

Nothing in the folder is trusted before it was checked. Files that the manifest lists lie directly in the
folder; others are never opened. The writer is export/bundle.py.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from compiler.errors import ArtifactError, ModelError
from compiler.model.quantized import QuantizedTensor
from export.emitter import CONSTANTS
from export.graph_file import from_json
from export.manifest import BucketRecord, FileRecord, Manifest, TensorRecord
from export.scheduled import ScheduledGraph, TensorPlace, dtype_named

MANIFEST = "manifest.json"
ADAPTER = "adapter.safetensors"
ADAPTER_FROZEN = "adapter_frozen.safetensors"
"""What the trained adapter's file holds beside what is trained; there if there is any."""
GRAPH = "graph.json"
PLAN = "plan.csv"
SAMPLE = "sample.safetensors"
REQUIRED = (GRAPH, CONSTANTS, PLAN)
"""What every bucket has; a sample is there if there was a batch, the files of the target's runtime if it has
some.
"""

CHUNK_BYTES = 1 << 22

Progress = Callable[[int, int], None]
"""Called with (bytes or steps done, in all)."""


@dataclass(frozen=True)
class Artifact:
    """`Artifact.open(folder)`; tensors and graph are read when asked for."""

    path: Path
    manifest: Manifest

    @staticmethod
    def open(path: str | Path, verify: bool = True, progress: Progress | None = None) -> Artifact:
        """Checks names, presence and sizes; with `verify` hashes too, which reads every byte once.

        Raises ArtifactError naming the file that is missing, truncated, tampered with or outside the folder.
        """
        path = Path(path)
        if not path.is_dir():
            raise ArtifactError(f"no artifact at {path}: it is {'a file' if path.exists() else 'missing'}")
        artifact = Artifact(path, _read_manifest(path))
        files = artifact.manifest.files
        each = (*REQUIRED, SAMPLE) if artifact.manifest.sample else REQUIRED
        of_buckets = [bucket.file(name) for bucket in artifact.manifest.buckets for name in each]
        required = (artifact.manifest.weights_file, ADAPTER, *of_buckets)
        missing = [name for name in required if name not in files]
        if missing:
            raise ArtifactError(
                f"{MANIFEST} of {path} does not list {missing[0]}; compile the artifact again"
            )
        for name, record in files.items():
            _check_presence(path, name, record)
        if verify:
            _check_hashes(path, files, progress)
        return artifact

    def file(self, name: str) -> Path:
        """The path of a listed file. Raises ArtifactError when the artifact has none of that name."""
        if name not in self.manifest.files:
            raise ArtifactError(
                f"the artifact {self.path} has no {name}; it was compiled for {self.manifest.target}"
            )
        return self.path / name

    @property
    def weights(self) -> Path:
        """The file of the frozen tensors."""
        return self.file(self.manifest.weights_file)

    def graph(self, bucket: BucketRecord | None = None) -> ScheduledGraph:
        """Operations in order, every tensor's place; of the largest bucket by default.

        Raises ArtifactError for a malformed or unsafe graph.
        """
        name = (bucket or self.manifest.largest).file(GRAPH)
        try:
            return from_json(self.file(name).read_bytes())
        except OSError as error:
            raise ArtifactError(f"{name} cannot be read: {error}") from error

    def constants(self, bucket: BucketRecord | None = None) -> dict[str, Tensor]:
        """The compiler's own small tensors, by the graph's names for them."""
        return self._tensors((bucket or self.manifest.largest).file(CONSTANTS))

    def adapter(self) -> dict[str, Tensor]:
        """First values of what is trained, by parameter name, as the manifest describes them."""
        tensors = self._tensors(ADAPTER)
        for record in self.manifest.parameters:
            place = _place(record)
            found = tensors.get(record.name)
            if found is None or tuple(found.shape) != place.shape or found.dtype != place.dtype:
                raise ArtifactError(
                    f"{ADAPTER} has no {record.name} of shape {list(place.shape)} and type {record.dtype}"
                )
        return {record.name: tensors[record.name] for record in self.manifest.parameters}

    def adapter_frozen(self) -> dict[str, Tensor]:
        """Tensors that the trained adapter's file holds beside what is trained, by their names there."""
        return self._tensors(ADAPTER_FROZEN) if ADAPTER_FROZEN in self.manifest.files else {}

    def sample(self, bucket: BucketRecord | None = None) -> dict[str, Tensor] | None:
        """The sample batch as a user gives it; None if the artifact was compiled without one."""
        name = (bucket or self.manifest.largest).file(SAMPLE)
        return self._tensors(name) if self.manifest.sample else None

    def bucket(self, seq_len: int | None = None) -> BucketRecord:
        """That of a sequence length, the largest by default. Raises ModelError when there is none."""
        for bucket in reversed(self.manifest.buckets):
            if seq_len in (None, bucket.batch.seq_len):
                return bucket
        known = ", ".join(str(bucket.batch.seq_len) for bucket in self.manifest.buckets)
        raise ModelError(f"the artifact was compiled for sequences of {known} tokens, not {seq_len}")

    def tensor(self, name: str) -> Tensor:
        """A frozen tensor, mapped from the weights file: bytes are read when used. Writes stay private."""
        record = self._weights.get(name)
        if record is None:
            raise ArtifactError(f"the artifact {self.path} has no frozen tensor {name}")
        place = _place(record)
        end = -1 if place.offset is None or place.offset < 0 else place.offset + place.nbytes
        if place.offset is None or not 0 <= end <= self._mapped.nbytes or place.offset % place.dtype.itemsize:
            raise ArtifactError(
                f"{MANIFEST}: {name} is {place.nbytes} bytes at offset {record.offset}, which is no place in "
                f"{self.weights.name} of {self._mapped.nbytes} bytes"
            )
        return self._mapped[place.offset : end].view(place.dtype).view(place.shape)

    def quantized(self, name: str) -> QuantizedTensor | None:
        """A frozen matrix that is stored quantized, mapped; None if the artifact has none of that name."""
        for record in self.manifest.quantized:
            if record.name == name:
                zero_point = self.tensor(f"{name}.zero_point") if record.zero_point else None
                data, scale = self.tensor(f"{name}.data"), self.tensor(f"{name}.scale")
                return QuantizedTensor(record.format, data, scale, zero_point)
        return None

    @functools.cached_property
    def _weights(self) -> dict[str, TensorRecord]:
        return {record.name: record for record in self.manifest.weights}

    @functools.cached_property
    def _mapped(self) -> Tensor:
        file = self.weights
        if not file.stat().st_size:
            return torch.empty(0, dtype=torch.uint8)
        # Copy-on-write, as torch has no read-only tensors.
        return torch.from_numpy(np.memmap(file, np.uint8, mode="c"))

    def _tensors(self, name: str) -> dict[str, Tensor]:
        try:
            return load_file(self.file(name))
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{name} cannot be read: {error}") from error


def sha256_of(path: Path, read: Callable[[int], object] = lambda _: None) -> str:
    """Hash of a file, read in pieces; `read` is called with the bytes read so far."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            done += len(piece)
            read(done)
    return digest.hexdigest()


def is_plain_name(name: str) -> bool:
    """Whether a file of that name lies directly in the folder, on every system."""
    return name not in ("", ".", "..", MANIFEST) and not any(c in '/\\:"<>|?*' or c < " " for c in name)


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    if not file.is_file():
        raise ArtifactError(f"{path} is no artifact: it has no {MANIFEST}")
    _require_inside(path, MANIFEST)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from error
    return Manifest.from_json(text)


def _require_inside(path: Path, name: str) -> None:
    if (path / name).resolve().parent != path.resolve():
        raise ArtifactError(
            f"{name} of the artifact {path} is a link to {(path / name).resolve()}, outside of it"
        )


def _check_presence(path: Path, name: str, record: FileRecord) -> None:
    if not is_plain_name(name):
        raise ArtifactError(
            f"{MANIFEST} of {path} lists {name!r}, which is not a file directly in the folder"
        )
    _require_inside(path, name)
    if not (path / name).is_file():
        raise ArtifactError(f"{name} is missing from the artifact {path}; copy or compile it again")
    size = (path / name).stat().st_size
    if size != record.bytes:
        what = "truncated" if size < record.bytes else "too long"
        raise ArtifactError(
            f"{name} of the artifact {path} is {what}: {size} bytes instead of {record.bytes}; copy or "
            "compile it again",
            bytes=size,
            expected_bytes=record.bytes,
        )


def _check_hashes(path: Path, files: Mapping[str, FileRecord], progress: Progress | None) -> None:
    total, before = sum(record.bytes for record in files.values()), 0

    def report(read: int) -> None:
        if progress:
            progress(before + read, total)

    for name, record in files.items():
        try:
            found = sha256_of(path / name, report)
        except OSError as error:
            raise ArtifactError(f"{path / name} cannot be read: {error}") from error
        if found != record.sha256:
            raise ArtifactError(
                f"{name} of the artifact {path} is not the file that was compiled: its sha256 is {found}, "
                f"the manifest says {record.sha256}; copy or compile it again"
            )
        before += record.bytes


def _place(record: TensorRecord) -> TensorPlace:
    if any(size < 0 for size in record.shape):
        raise ArtifactError(f"{MANIFEST}: {record.name} has shape {record.shape}")
    return TensorPlace(tuple(record.shape), dtype_named(record.dtype), record.offset, None)
