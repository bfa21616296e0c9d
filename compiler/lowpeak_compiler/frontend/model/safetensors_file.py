"""A safetensors file, its header checked.

The library sees to it that tensors have the bytes of their shapes, lie one after the other and end with the
file. It takes the last of two tensors of one name, and any place: both are refused here.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_file import shown
from lowpeak_artifact.regular_file import open_regular
from lowpeak_artifact.safetensors_header import Damaged, Header, read_header

MOST_HEADER_BYTES = 25_000_000
"""About 200,000 tensors."""

MOST_NAME = 512
"""Characters of a tensor's name."""


def open_safetensors(path: Path) -> safe_open:
    """The library's handle of the file, which reads a tensor into memory and maps nothing: SafetensorError,
    and no signal, tells of a file that is cut meanwhile. Raises ModelError for one that is damaged.
    """
    try:
        return safe_open(path, framework="pt", backend="pread")
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
        stored = header.tensors[name]
        begin, nbytes = stored.begin - len(header.content), stored.end - stored.begin
        count = 1
        for size in shape:
            count *= size
        if not count:
            continue
        size = nbytes // count
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


def _header(path: Path) -> Header:
    try:
        with open_regular(path) as file:
            return read_header(file, MOST_HEADER_BYTES)
    except Damaged as error:
        raise ModelError(
            f"{path} cannot be read ({error}): it is damaged or cut short; copy it again"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
