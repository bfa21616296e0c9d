"""A safetensors file written tensor by tensor: it may be far larger than memory, and every offset is known
before a byte of it is written.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor

DTYPE_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}
HEADER_ALIGNMENT = 64
"""Of the first tensor; those after it follow without a gap, as the format wants it."""

Declared = tuple[str, tuple[int, ...], torch.dtype]


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes | memoryview, /) -> object: ...


@dataclass(frozen=True)
class Entry:
    """One tensor of a weights file. `offset` and `nbytes` in bytes from the file's start."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int

    @property
    def nbytes(self) -> int:
        return tensor_bytes(self.shape, self.dtype)


def tensor_bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def write_safetensors(
    file: Sink,
    tensors: Iterable[Declared],
    load: Callable[[str], Tensor],
    metadata: Mapping[str, str] | None = None,
) -> list[Entry]:
    """`load(name)` is called once a tensor. Tensors are laid out by the size of their elements, largest
    first, so that each is aligned. OSError (disk full) is the caller's.
    """
    header, entries = _layout(tensors, metadata or {})
    file.write(header)
    for entry in entries:
        file.write(_loaded(entry, load))
    return entries


def write_in_order(file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]) -> list[Entry]:
    """The same bytes in an empty file, but `load` is called in the order of `tensors`: what is made together,
    as the parts of a quantized matrix are, need not be made twice.
    """
    declared = list(tensors)
    header, entries = _layout(declared, {})
    file.write(header)
    places = {entry.name: entry for entry in entries}
    for name, _, _ in declared:
        file.seek(places[name].offset)
        file.write(_loaded(places[name], load))
    return entries


def _layout(tensors: Iterable[Declared], metadata: Mapping[str, str]) -> tuple[bytes, list[Entry]]:
    """The header, and where each tensor lies after it, in the order of the file."""
    declared = sorted(tensors, key=lambda each: -each[2].itemsize)
    records: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape, dtype in declared:
        places = [end, end + tensor_bytes(shape, dtype)]
        records[name] = {"dtype": DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": places}
        end = places[1]
    header = json.dumps(records, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 8) % HEADER_ALIGNMENT)
    offset = 8 + len(header)
    entries = []
    for name, shape, dtype in declared:
        entries.append(Entry(name, shape, dtype, offset))
        offset += entries[-1].nbytes
    return struct.pack("<Q", len(header)) + header, entries


def _loaded(entry: Entry, load: Callable[[str], Tensor]) -> memoryview:
    tensor = load(entry.name)
    actual = tuple(tensor.shape), tensor.dtype
    assert actual == (entry.shape, entry.dtype), f"{entry.name}: {actual}"
    return bytes_of(tensor)


def bytes_of(tensor: Tensor) -> memoryview:
    """The tensor's elements in order, without a copy if they lie so."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
