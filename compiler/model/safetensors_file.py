"""A safetensors file, its header checked.

The library sees to it that tensors have the bytes of their shapes, lie one behind the other and end with the
file. It takes the last of two tensors of one name, and any place: both are refused here.
"""

from __future__ import annotations

import struct
from pathlib import Path

from safetensors import SafetensorError, safe_open

from compiler.errors import ModelError
from compiler.model.json_file import parse_object, shown

MOST_HEADER_BYTES = 25_000_000
"""About 200,000 tensors."""

MOST_NAME = 512
"""Characters of a tensor's name."""

_METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")


def open_safetensors(path: Path) -> safe_open:
    """The library's handle of the file. Raises ModelError for one that is damaged or cut short."""
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}): it is damaged or cut short; copy it again"
        ) from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by name, without reading a tensor.

    Raises ModelError for a damaged file, two tensors of one name, and one that does not begin at a multiple
    of its element's size.
    """
    header = _header(path)
    with open_safetensors(path) as tensors:
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    for name, shape in shapes.items():
        require_plain_name(name, path)
        begin, end = header[name]["data_offsets"]
        count = 1
        for size in shape:
            count *= size
        if not count:
            continue
        size = (end - begin) // count
        # Types of less than a byte have no place of their own.
        if size and begin % size:
            raise ModelError(
                f"{path}: {name} begins at byte {begin} of the data, which is no multiple of its element's "
                f"{size} bytes: write the file again, with the safetensors library"
            )
    return shapes


def require_plain_name(name: str, path: Path) -> None:
    """Raises ModelError for a tensor's name that cannot be printed, or that no model has for its length."""
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise ModelError(
            f"{path} has a tensor {shown(name)}: a name has 1 to {MOST_NAME} characters, all printable"
        )


def _header(path: Path) -> dict[str, dict[str, list[int]]]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH.size), "little")
            if length > MOST_HEADER_BYTES:
                raise ModelError(
                    f"{path} cannot be read: its header has {length} bytes, at most {MOST_HEADER_BYTES} are "
                    "read; it is damaged, or no safetensors file"
                )
            content = file.read(length)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    # First, as it takes little memory for what is no header.
    with open_safetensors(path):
        pass
    header = parse_object(content, f"the header of {path}")
    header.pop(_METADATA, None)
    return header
