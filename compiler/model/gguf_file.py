"""The GGUF container: metadata and tensor table of a file, and the raw blocks of a tensor.

The `gguf` package reads it too, but makes an array of every token of the vocabulary, which takes seconds to
half a minute; vocabularies are skipped here. The format is that of docs/gguf.md in ggml-org/ggml.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compiler.errors import EnvironmentProblem, ModelError

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32

# Numbers of the value types in the file.
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9

Scalar = int | float | bool | str


@dataclass(frozen=True)
class GgufTensor:
    """An entry of the tensor table."""

    type: GGMLQuantizationType
    shape: tuple[int, ...]
    """Of the values, rows first (the file has it columns first)."""

    row_nbytes: int
    """Bytes of one row of blocks."""

    offset: int
    """Bytes from the start of the file."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape[:-1]) * self.row_nbytes


class GgufFile:
    """A GGUF file, mapped. Raises ModelError when it is damaged, cut short, or of another version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, Scalar] = {}
        """Numbers and strings by key."""

        self.lists: set[str] = set()
        """Keys of arrays (vocabulary, merges), which are not read."""

        self.tensors: dict[str, GgufTensor] = {}
        try:
            self._bytes = np.memmap(path, mode="r", dtype=np.uint8)
            self._read_header()
        except (ValueError, struct.error, OverflowError) as error:
            raise ModelError(f"{path} is not a whole GGUF file: {error}") from error
        for name, tensor in self.tensors.items():
            if tensor.offset + tensor.nbytes > self._bytes.size:
                raise ModelError(
                    f"{path} is cut short: {name} ends at byte {tensor.offset + tensor.nbytes} but the file "
                    f"has {self._bytes.size}; copy or download it again",
                    needed=tensor.offset + tensor.nbytes,
                    present=self._bytes.size,
                )

    def blocks(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor, mapped: uint8 [*shape[:-1], row bytes]."""
        tensor = self.tensors[name]
        stored = self._bytes[tensor.offset : tensor.offset + tensor.nbytes]
        return np.asarray(stored).reshape(*tensor.shape[:-1], tensor.row_nbytes)

    def _read_header(self) -> None:
        cursor = _Cursor(self._bytes.data)
        if cursor.take(4) != _MAGIC:
            raise ValueError("it does not start with GGUF")
        version = cursor.unpack("<I")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}, known are {_VERSIONS} in little endian")
        tensor_count, metadata_count = cursor.unpack("<Q"), cursor.unpack("<Q")
        for _ in range(metadata_count):
            key, kind = cursor.string(), cursor.unpack("<I")
            value = cursor.value(kind)
            if value is None:
                self.lists.add(key)
            else:
                self.metadata[key] = value
        entries = [_read_entry(cursor) for _ in range(tensor_count)]
        alignment = int(self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT))
        if alignment <= 0:
            raise ValueError(f"its alignment is {alignment}")
        data_start = -(-cursor.position // alignment) * alignment
        for name, (type, shape, row_nbytes, offset) in entries:
            self.tensors[name] = GgufTensor(type, shape, row_nbytes, data_start + offset)


class _Cursor:
    """Reads values one after the other; struct.error or ValueError at the end of the bytes."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        if self.position + count > len(self._data):
            raise ValueError(f"it ends at byte {len(self._data)}, within its header")
        piece = bytes(self._data[self.position : self.position + count])
        self.position += count
        return piece

    def unpack(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self.position)
        self.position += struct.calcsize(layout)
        return value  # type: ignore[no-any-return]

    def string(self) -> str:
        return self.take(self.unpack("<Q")).decode()

    def value(self, kind: int) -> Scalar | None:
        """A value of the metadata; None for an array, which is skipped."""
        if kind in _SCALARS:
            return self.unpack(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"its metadata has a value of unknown type {kind}")
        item_kind, count = self.unpack("<I"), self.unpack("<Q")
        if item_kind in _SCALARS:
            self.position += count * struct.calcsize(_SCALARS[item_kind])
        elif item_kind == _STRING:
            for _ in range(count):
                length = self.unpack("<Q")
                self.position += length
        else:
            for _ in range(count):
                self.value(item_kind)
        return None


_Entry = tuple[str, tuple["GGMLQuantizationType", tuple[int, ...], int, int]]


def _read_entry(cursor: _Cursor) -> _Entry:
    """Name, then type, shape, bytes a row and offset from the start of the data."""
    gguf = import_gguf()
    name = cursor.string()
    shape = tuple(reversed([cursor.unpack("<Q") for _ in range(cursor.unpack("<I"))]))
    if not shape:
        raise ValueError(f"its tensor {name} has no dimensions")
    type = gguf.GGMLQuantizationType(cursor.unpack("<I"))
    row_nbytes = gguf.quant_shape_to_byte_shape(shape, type)[-1]
    return name, (type, shape, int(row_nbytes), cursor.unpack("<Q"))


def import_gguf() -> ModuleType:
    """The `gguf` package. Raises EnvironmentProblem when it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise EnvironmentProblem(
            "reading a .gguf file needs the gguf package: pip install 'lowpeak[gguf]'"
        ) from error
    return gguf
