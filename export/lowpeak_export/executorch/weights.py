"""The frozen tensors of an artifact as one file in ExecuTorch's flat-tensor format (.ptd),
written tensor by tensor.

Header and table come first and need only shapes, so the file may be far larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from executorch.exir._serialize.padding import aligned_size, pad_to
from executorch.exir.tensor import scalar_type_enum
from executorch.exir.tensor_layout import TensorLayout
from executorch.extension.flat_tensor.serialize.flat_tensor_schema import DataSegment, FlatTensor, NamedData
from executorch.extension.flat_tensor.serialize.serialize import (
    _FLAT_TENSOR_VERSION,
    FlatTensorHeader,
    _insert_flatbuffer_header,
    _serialize_to_flatbuffer,
)
from torch import Tensor

from lowpeak_artifact.safetensors_file import Declared, Entry, bytes_of, tensor_bytes

SEGMENT_ALIGNMENT = 128
HEADER_ALIGNMENT = 16
"""Of the table after the header, as ExecuTorch's own writer has it."""


def write_flat_tensors(
    file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]
) -> list[Entry]:
    """Writes the file; `load(name)` is called once a tensor in order. OSError (disk full) is the caller's."""
    segments, named, end = [], [], 0
    declared = list(tensors)
    for index, (name, shape, dtype) in enumerate(declared):
        nbytes = tensor_bytes(shape, dtype)
        start = aligned_size(end, SEGMENT_ALIGNMENT)
        segments.append(DataSegment(start, nbytes))
        layout = TensorLayout(scalar_type_enum(dtype), list(shape), list(range(len(shape))))
        named.append(NamedData(name, index, layout))
        end = start + nbytes
    head, base = _head(FlatTensor(_FLAT_TENSOR_VERSION, segments, named), end)
    entries = []
    file.write(head)
    for (name, shape, dtype), segment in zip(declared, segments, strict=True):
        file.write(b"\0" * (base + segment.offset - file.tell()))
        tensor = load(name)
        assert tuple(tensor.shape) == shape and tensor.dtype == dtype, (
            f"{name}: {tensor.shape} {tensor.dtype}"
        )
        file.write(bytes_of(tensor))
        entries.append(Entry(name, shape, dtype, base + segment.offset))
    return entries


def _head(table: FlatTensor, data_bytes: int) -> tuple[bytes, int]:
    """Header and table, padded; and where the first segment starts."""
    payload = _serialize_to_flatbuffer(table)
    header_bytes = aligned_size(FlatTensorHeader.EXPECTED_LENGTH, HEADER_ALIGNMENT)
    base = aligned_size(len(payload) + header_bytes, SEGMENT_ALIGNMENT)
    header = FlatTensorHeader(header_bytes, len(payload), base, data_bytes).to_bytes()
    joined = _insert_flatbuffer_header(
        bytes(payload), r"FT[0-9a-zA-Z][0-9a-zA-Z]", pad_to(header, header_bytes)
    )
    return pad_to(joined, base), base
