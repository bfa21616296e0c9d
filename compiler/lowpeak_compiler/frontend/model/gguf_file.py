"""The GGUF container: metadata and tensor table of a file, and the raw blocks of a tensor.

The `gguf` package reads it too, but makes an array of every token of the vocabulary, which takes seconds to
half a minute; vocabularies are skipped here. The format is that of docs/gguf.md in ggml-org/ggml.

A length or count in the file is held against the bytes that are left before anything is made of it.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lowpeak_artifact.errors import EnvironmentProblem, ModelError
from lowpeak_artifact.json_file import shown
from lowpeak_artifact.regular_file import open_regular, read_into

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

MOST_ENTRIES = 100_000
"""Of metadata, and of tensors: real files have some dozens and some thousands."""
MOST_ITEMS = 4_000_000
"""In all arrays together: 262,144 tokens with types and scores, and 514,906 merges, are the most known."""
MOST_TEXT = 65_535
"""Bytes of a string that is read; longer ones (chat templates) are passed over."""
_MOST_NAME = 512
"""Bytes."""
_MOST_NESTED = 4
_MOST_DIMENSIONS = 4
_SMALLEST = {_STRING: 8, _ARRAY: 12}
"""Bytes of an empty one."""
_SMALLEST_METADATA, _SMALLEST_TENSOR = 13, 32
_MOST_ALIGNMENT = 1 << 20
_TENSOR_COUNT = slice(8, 16)
"""Its place in the file."""
_BUFFER_BYTES = 1 << 16

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
    """A GGUF file, of which the header is read. Raises ModelError when it is damaged, cut short, or of
    another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, Scalar] = {}
        """Numbers and strings by key."""

        self.lists: dict[str, int] = {}
        """Items of arrays (vocabulary, merges) by key, which are not read; 0 for a long string."""

        self.tensors: dict[str, GgufTensor] = {}
        try:
            with open_regular(path) as file, BufferedReader(file, _BUFFER_BYTES) as buffered:
                self._size = os.fstat(file.fileno()).st_size
                self._read_header(_Cursor(buffered, self._size))
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        except (ValueError, struct.error, OverflowError) as error:
            raise ModelError(f"{path} is not a whole GGUF file: {error}") from error
        self._require_places()

    def _require_places(self) -> None:
        """ModelError for tensors that end past the end of the file, or share bytes."""
        end, before = 0, ""
        for name, tensor in sorted(self.tensors.items(), key=lambda entry: entry[1].offset):
            if tensor.offset + tensor.nbytes > self._size:
                raise ModelError(
                    f"{self.path} is cut short: {name} ends at byte {tensor.offset + tensor.nbytes} but the "
                    f"file has {self._size}; copy or download it again",
                    needed=tensor.offset + tensor.nbytes,
                    present=self._size,
                )
            if tensor.offset < end:
                raise ModelError(
                    f"{self.path} is not a whole GGUF file: {name} begins at byte {tensor.offset}, within "
                    f"{before}, which ends at {end}"
                )
            end, before = tensor.offset + tensor.nbytes, name

    def blocks(self, name: str) -> npt.NDArray[np.uint8]:
        """The stored bytes of a tensor, read anew: uint8 [*shape[:-1], row bytes].

        Raises ModelError when the file is not what it was any more, as far as that shows.
        """
        tensor = self.tensors[name]
        stored = np.empty((*tensor.shape[:-1], tensor.row_nbytes), np.uint8)
        try:
            with open_regular(self.path) as file:
                read_into(file.fileno(), tensor.offset, stored.reshape(-1).data)
        except OSError as error:
            raise ModelError(f"{name} of {self.path} cannot be read: {error.strerror}") from error
        return stored

    def write_metadata(self, path: Path) -> None:
        """A GGUF file of the same metadata, vocabulary included, without tensors.

        Raises ModelError as `blocks`; OSError for `path`.
        """
        content = bytearray(self._metadata_end)
        try:
            with open_regular(self.path) as file:
                read_into(file.fileno(), 0, memoryview(content))
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read: {error.strerror}") from error
        content[_TENSOR_COUNT] = bytes(8)
        path.write_bytes(content)

    def _read_header(self, cursor: _Cursor) -> None:
        if cursor.take(4) != _MAGIC:
            raise ValueError("it does not start with GGUF")
        version = cursor.unpack("<I")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}, known are {_VERSIONS} in little endian")
        tensor_count = cursor.count("tensors", _SMALLEST_TENSOR, MOST_ENTRIES)
        metadata_count = cursor.count("fields", _SMALLEST_METADATA, MOST_ENTRIES)
        for _ in range(metadata_count):
            key = cursor.name("a field", _MOST_NAME)
            if key in self.metadata or key in self.lists:
                raise ValueError(f"it has the field {key} twice")
            value = cursor.value(key, cursor.unpack("<I"))
            if isinstance(value, _Unread):
                self.lists[key] = value.items
            else:
                self.metadata[key] = value
        self._metadata_end = cursor.position
        entries = [_read_entry(cursor) for _ in range(tensor_count)]
        alignment = _alignment(self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT))
        data_start = -(-cursor.position // alignment) * alignment
        for name, (type, shape, row_nbytes, offset) in entries:
            if name in self.tensors:
                raise ValueError(f"it has the tensor {name} twice")
            if offset % alignment:
                raise ValueError(f"{name} begins at byte {offset}, which is no multiple of {alignment}")
            self.tensors[name] = GgufTensor(type, shape, row_nbytes, data_start + offset)


def _alignment(value: Scalar) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= _MOST_ALIGNMENT
    if not whole or int(value) & (int(value) - 1):
        raise ValueError(
            f"its general.alignment is {value!r}, not a power of two from 8 to {_MOST_ALIGNMENT}"
        )
    return int(value)


class _Unread(NamedTuple):
    """A value that is passed over."""

    items: int


class _Cursor:
    """Reads values one after the other; struct.error or ValueError at the end of the bytes."""

    def __init__(self, file: BufferedReader[FileIO], size: int) -> None:
        self._file, self._size = file, size
        self._items = 0
        self.position = 0

    def skip(self, count: int) -> None:
        self._pass(count)
        self._file.seek(count, os.SEEK_CUR)

    def take(self, count: int) -> bytes:
        self._pass(count)
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("it was cut short while its header was read")
        return data

    def _pass(self, count: int) -> None:
        if self.position + count > self._size:
            raise ValueError(f"it ends at byte {self._size}, within its header")
        self.position += count

    def text(self, count: int, what: str) -> str:
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{what} is no UTF-8 text ({error})") from error

    def unpack(self, layout: str) -> Any:
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def count(self, what: str, smallest: int, most: int) -> int:
        """A number of things of at least `smallest` bytes each."""
        count: int = self.unpack("<Q")
        room = (self._size - self.position) // smallest
        if count > min(room, most):
            raise ValueError(
                f"it says that it has {count} {what}: there is room for {room}, at most {most} are read"
            )
        return count

    def name(self, what: str, most: int) -> str:
        length = self.unpack("<Q")
        if not 0 < length <= most:
            raise ValueError(f"the name of {what} has {length} bytes, not 1 to {most}")
        name = self.text(length, f"the name of {what}")
        if not name.isprintable():
            raise ValueError(f"the name {shown(name)} of {what} has characters that cannot be printed")
        return name

    def value(self, key: str, kind: int, nested: int = 0) -> Scalar | _Unread:
        """A value of the metadata; arrays and long strings are passed over."""
        if kind in _SCALARS:
            scalar: Scalar = self.unpack(_SCALARS[kind])
            return scalar
        if kind == _STRING:
            length = self.unpack("<Q")
            if length > MOST_TEXT:
                self.skip(length)
                return _Unread(0)
            return self.text(length, f"its field {key}")
        if kind != _ARRAY:
            raise ValueError(f"its field {key} has the unknown type {kind}")
        item = self.unpack("<I")
        if item not in _SCALARS and item not in _SMALLEST:
            raise ValueError(f"its field {key} is a list of the unknown type {item}")
        if nested == _MOST_NESTED:
            raise ValueError(f"its field {key} has lists in lists, over {_MOST_NESTED} deep")
        size = struct.calcsize(_SCALARS[item]) if item in _SCALARS else _SMALLEST[item]
        count = self.count(f"items in {key}", size, MOST_ITEMS - self._items)
        self._items += count
        if item in _SCALARS:
            self.skip(count * size)
        elif item == _STRING:
            for _ in range(count):
                self.skip(self.unpack("<Q"))
        else:
            for _ in range(count):
                self.value(key, item, nested + 1)
        return _Unread(count)


_Entry = tuple[str, tuple["GGMLQuantizationType", tuple[int, ...], int, int]]


def _read_entry(cursor: _Cursor) -> _Entry:
    """Name, then type, shape, bytes a row and offset from the start of the data."""
    gguf = import_gguf()
    name = cursor.name("a tensor", _MOST_NAME)
    dimensions = cursor.unpack("<I")
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"its tensor {name} has {dimensions} dimensions, not 1 to {_MOST_DIMENSIONS}")
    shape = tuple(reversed([cursor.unpack("<Q") for _ in range(dimensions)]))
    if 0 in shape:
        raise ValueError(f"its tensor {name} has the shape {list(shape)}: it is empty")
    try:
        type = gguf.GGMLQuantizationType(cursor.unpack("<I"))
        row_nbytes = gguf.quant_shape_to_byte_shape(shape, type)[-1]
    except ValueError as error:
        raise ValueError(f"its tensor {name}: {error}") from error
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
