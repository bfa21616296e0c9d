"""The header of a safetensors file: where each tensor lies. Nothing here needs torch.

<bytes of the text, 8 bytes little endian><text, a JSON object><the tensors' bytes>
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from typing import Any

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_file import parse_object, shown

MOST_HEADER_BYTES = 100_000_000
"""Of the format."""
METADATA = "__metadata__"
LENGTH_BYTES = 8


class Damaged(Exception):
    """What is wrong with a file, in a few words."""


@dataclass(frozen=True)
class StoredTensor:
    """Its type by the format's name, and its place in bytes from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What `read_header` has read."""

    content: bytes
    """The file up to the tensors."""
    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @property
    def end(self) -> int:
        """Where the last tensor ends, and the file with it."""
        return max((tensor.end for tensor in self.tensors.values()), default=len(self.content))


def read_header(file: FileIO, most_bytes: int = MOST_HEADER_BYTES) -> Header:
    """Of the file from its start on; whether the tensors have the bytes of their shapes is not checked.

    Raises Damaged, also for a file that does not end with its last tensor, and OSError.
    """
    size = os.fstat(file.fileno()).st_size
    start = _read(file, LENGTH_BYTES, size)
    length = int.from_bytes(start, "little")
    if length > size - LENGTH_BYTES:
        raise Damaged(f"it has {size} bytes, which is less than its header")
    if length > most_bytes:
        raise Damaged(f"its header has {length} bytes, at most {most_bytes} are read")
    text = _read(file, length, size)
    try:
        records = parse_object(text, "its header")
    except ModelError as error:
        raise Damaged(str(error)) from error
    metadata = records.pop(METADATA, {})
    if not isinstance(metadata, dict):
        raise Damaged("the metadata of its header is no object")
    content = start + text
    tensors = {name: _tensor(name, record, len(content)) for name, record in records.items()}
    header = Header(content, metadata, tensors)
    if size != header.end:
        raise Damaged(f"it has {size} bytes, by its header it should have {header.end}")
    return header


def _read(file: FileIO, count: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < count and (piece := file.read(count - len(data))):
        data += piece
    if len(data) < count:
        raise Damaged(f"it has {size} bytes, which is less than its header")
    return bytes(data)


def _tensor(name: str, record: object, start: int) -> StoredTensor:
    fields = record if isinstance(record, dict) else {}
    dtype = fields.get("dtype")
    shape, places = _counts(fields.get("shape")), _counts(fields.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None:
        raise Damaged(f"its header has no type and shape of {shown(name)}")
    if places is None or len(places) != 2 or places[0] > places[1]:
        raise Damaged(f"its header has no place of {shown(name)}")
    return StoredTensor(dtype, shape, start + places[0], start + places[1])


def _counts(value: object) -> tuple[int, ...] | None:
    """The list as it is, if it is one of numbers from 0 on."""
    if isinstance(value, list) and all(type(each) is int and each >= 0 for each in value):
        return tuple(value)
    return None
