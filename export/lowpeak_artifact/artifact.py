"""An artifact on disk, read: a folder whose manifest lists every file with its size and hash.

Nothing in the folder is trusted before it was checked. Files that the manifest lists lie directly in the
folder; others are never opened, but for the manifest's signature. What is read whole is hashed as it is
read, so the bytes that were checked are those that are used; weights, of which a tensor is read at a time,
and programs are hashed when the artifact is opened. Whether the manifest is the right one only `expect` and
`signed_by` tell. The writer is lowpeak_export/bundle.py.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lowpeak_artifact.digest import digest_of
from lowpeak_artifact.errors import ArtifactError, ModelError
from lowpeak_artifact.graph_file import from_json
from lowpeak_artifact.layout import ADAPTER, ADAPTER_FROZEN, CONSTANTS, GRAPH, PLAN, SAMPLE
from lowpeak_artifact.layout import MANIFEST as MANIFEST
from lowpeak_artifact.manifest import MOST_BYTES, BucketRecord, FileRecord, Manifest, TensorRecord
from lowpeak_artifact.plain_file import open_plain, read_plain
from lowpeak_artifact.quantized import QuantizedTensor
from lowpeak_artifact.regular_file import read_into
from lowpeak_artifact.safetensors_file import bytes_of
from lowpeak_artifact.scheduled import ScheduledGraph, TensorPlace, dtype_named
from lowpeak_artifact.signature import require_signature

REQUIRED = (GRAPH, CONSTANTS, PLAN)
"""What every bucket has; a sample is there if there was a batch, the files of the target's runtime if it has
some.
"""


Progress = Callable[[int, int], None]
"""Called with (bytes or steps done, in all)."""


@dataclass(frozen=True)
class Artifact:
    """`Artifact.open(folder)`; tensors and graph are read when asked for."""

    path: Path
    manifest: Manifest

    @staticmethod
    def open(
        path: str | Path,
        verify: bool = True,
        progress: Progress | None = None,
        *,
        expect: str | None = None,
        signed_by: str | None = None,
    ) -> Artifact:
        """Checks names, presence and sizes; with `verify` hashes too, which reads every byte once.

        expect: the SHA-256 of manifest.json, as `Artifact.sha256` has it. signed_by: a minisign public key
        (its file, or the line in it) that must have signed the manifest.
        Raises ArtifactError naming the file that is missing, truncated, tampered with or no regular file, and
        for a manifest that is another one, or is not signed.
        """
        path = Path(path)
        require_folder(path)
        what = f"the artifact {path}"
        if not os.path.lexists(path / MANIFEST):
            raise ArtifactError(f"{path} is no artifact: it has no {MANIFEST}")
        data = read_plain(path, MANIFEST, what, MOST_BYTES)
        require_expected(path, hashlib.sha256(data).hexdigest(), expect)
        if signed_by is not None:
            require_signature(path, data, signed_by)
        artifact = Artifact(path, Manifest.from_json(data))
        files = artifact.manifest.files
        each = (*REQUIRED, SAMPLE) if artifact.manifest.sample else REQUIRED
        of_buckets = [bucket.file(name) for bucket in artifact.manifest.buckets for name in each]
        required = (artifact.manifest.weights_file, ADAPTER, *of_buckets)
        missing = [name for name in required if name not in files]
        if missing:
            raise ArtifactError(
                f"{MANIFEST} of {path} does not list {missing[0]}; compile the artifact again"
            )
        total, before = sum(record.bytes for record in files.values()), 0
        for name, record in files.items():
            with open_plain(path, name, what) as file:
                _check_size(path, name, os.fstat(file.fileno()).st_size, record)
        for name, record in files.items() if verify else ():
            with open_plain(path, name, what) as file:
                _check_hash(path, name, _hash_of(file, path / name, before, total, progress), record)
            before += record.bytes
        return artifact

    @property
    def sha256(self) -> str:
        """Of manifest.json, and so of every file that it lists: what `expect` is compared with."""
        return self.manifest.sha256

    def file(self, name: str) -> Path:
        """The path of a listed file. Raises ArtifactError when the artifact has none of that name."""
        if name not in self.manifest.files:
            raise ArtifactError(
                f"the artifact {self.path} has no {name}; it was compiled for {self.manifest.target}"
            )
        return self.path / name

    def read(self, name: str) -> bytes:
        """A listed file as a whole; its bytes are hashed. Raises ArtifactError when they are others."""
        self.file(name)
        record = self.manifest.files[name]
        data = read_plain(self.path, name, f"the artifact {self.path}", record.bytes)
        _check_size(self.path, name, len(data), record)
        _check_hash(self.path, name, hashlib.sha256(data).hexdigest(), record)
        return data

    @property
    def weights(self) -> Path:
        """The file of the frozen tensors."""
        return self.file(self.manifest.weights_file)

    def graph(self, bucket: BucketRecord | None = None) -> ScheduledGraph:
        """Operations in order, every tensor's place; of the largest bucket by default.

        Raises ArtifactError for a malformed or unsafe graph.
        """
        name = (bucket or self.manifest.largest).file(GRAPH)
        graph = from_json(self.read(name))
        if list(graph.gradients) != [record.name for record in self.manifest.parameters]:
            raise ArtifactError(f"{name} and {MANIFEST} of the artifact {self.path} train other parameters")
        return graph

    def constants(self, bucket: BucketRecord | None = None) -> dict[str, Tensor]:
        """The compiler's own small tensors, by the graph's names for them."""
        return self._tensors((bucket or self.manifest.largest).file(CONSTANTS))

    def adapter(self) -> dict[str, Tensor]:
        """First values of what is trained, by parameter name, as the manifest describes them."""
        tensors = self._tensors(ADAPTER)
        unknown = tensors.keys() - {record.name for record in self.manifest.parameters}
        if unknown:
            raise ArtifactError(f"{ADAPTER} has {min(unknown)}, which {MANIFEST} has no parameter of")
        for record in self.manifest.parameters:
            place = _place(record)
            tensor = tensors.get(record.name)
            if tensor is None or tuple(tensor.shape) != place.shape or tensor.dtype != place.dtype:
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
        """A frozen tensor, read from the weights file at each call."""
        record = self._weights.get(name)
        if record is None:
            raise ArtifactError(f"the artifact {self.path} has no frozen tensor {name}")
        place = _place(record)
        assert place.offset is not None
        tensor = torch.empty(place.shape, dtype=place.dtype)
        weights = self.manifest.weights_file
        with open_plain(self.path, weights, f"the artifact {self.path}") as file:
            _check_size(self.path, weights, os.fstat(file.fileno()).st_size, self.manifest.files[weights])
            try:
                read_into(file.fileno(), place.offset, bytes_of(tensor))
            except OSError as error:
                raise ArtifactError(f"{self.path / weights} cannot be read: {error.strerror}") from error
        return tensor

    def quantized(self, name: str) -> QuantizedTensor | None:
        """A frozen matrix that is stored quantized; None if the artifact has none of that name."""
        for record in self.manifest.quantized:
            if record.name == name:
                zero_point = self.tensor(f"{name}.zero_point") if record.zero_point else None
                data, scale = self.tensor(f"{name}.data"), self.tensor(f"{name}.scale")
                return QuantizedTensor(record.format, data, scale, zero_point)
        return None

    @functools.cached_property
    def _weights(self) -> dict[str, TensorRecord]:
        return {record.name: record for record in self.manifest.weights}

    def _tensors(self, name: str) -> dict[str, Tensor]:
        data = self.read(name)
        try:
            return load(data)
        # The reader knows types that this torch lacks, and raises what torch does for shapes it cannot make.
        except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{name} cannot be read: {error}") from error


def require_folder(path: Path) -> None:
    """Raises ArtifactError when there is none."""
    if not path.is_dir():
        raise ArtifactError(f"no artifact at {path}: it is {'a file' if path.exists() else 'missing'}")


def require_expected(path: Path, actual: str, expect: str | None) -> None:
    """Raises ArtifactError when the manifest's hash `found` is not `expect`, or that is no SHA-256."""
    if expect is None:
        return
    wanted = expect.strip().lower()
    if re.fullmatch("[0-9a-f]{64}", wanted) is None:
        raise ArtifactError(
            f"the expected hash {expect!r} is no SHA-256: give all 64 hexadecimal digits that compile printed"
        )
    if actual != wanted:
        raise ArtifactError(
            f"{path} is not the artifact that was expected: the sha256 of its {MANIFEST} is {actual}, "
            f"expected is {wanted}; get the right one, or compile it again and expect its hash"
        )


def sha256_of(path: Path, read: Callable[[int], object] = lambda _: None) -> str:
    """Hash of a file, read in pieces; `read` is called with the bytes read so far."""
    with path.open("rb") as file:
        return digest_of(file, read)


def _hash_of(file: BinaryIO, path: Path, before: int, total: int, progress: Progress | None) -> str:
    try:
        return digest_of(file, lambda done: progress(before + done, total) if progress else None)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


def _check_size(path: Path, name: str, size: int, record: FileRecord) -> None:
    if size != record.bytes:
        what = "truncated" if size < record.bytes else "too long"
        raise ArtifactError(
            f"{name} of the artifact {path} is {what}: {size} bytes instead of {record.bytes}; copy or "
            "compile it again",
            bytes=size,
            expected_bytes=record.bytes,
        )


def _check_hash(path: Path, name: str, actual: str, record: FileRecord) -> None:
    if actual != record.sha256:
        raise ArtifactError(
            f"{name} of the artifact {path} is not the file that was compiled: its sha256 is {actual}, "
            f"the manifest says {record.sha256}; copy or compile it again"
        )


def _place(record: TensorRecord) -> TensorPlace:
    return TensorPlace(tuple(record.shape), dtype_named(record.dtype), record.offset, None)
