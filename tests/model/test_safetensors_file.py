"""Headers that the library takes and we do not, and those that neither does."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.safetensors_file import MOST_HEADER_BYTES, read_shapes


def entry(name: str, begin: int, end: int, dtype: str = "F32", shape: str = "[2]") -> str:
    offsets = f'"data_offsets": [{begin}, {end}]'
    return f'{json.dumps(name)}: {{"dtype": "{dtype}", "shape": {shape}, {offsets}}}'


def write(path: Path, *entries: str, data: int = 8) -> Path:
    header = ("{" + ", ".join(entries) + "}").encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(data))
    return path


def test_shapes(tmp_path: Path) -> None:
    metadata = '"__metadata__": {"format": "pt"}'
    path = write(tmp_path / "a", metadata, entry("x", 0, 8), entry("e", 8, 8, shape="[0, 3]"))
    assert read_shapes(path) == {"x": (2,), "e": (0, 3)}


@pytest.mark.parametrize(
    ("entries", "data", "message"),
    [
        ([entry("x", 0, 8), entry("x", 0, 8)], 8, "the name 'x' is in one object twice"),
        ([entry("b", 0, 1, "U8", "[1]"), entry("x", 1, 9)], 9, "x begins at byte 1 of the data, .* 4 bytes"),
        ([entry("x", 0, 8), entry("y", 4, 12)], 12, "cannot be read"),
        ([entry("x", 0, 8)], 4, "cannot be read"),
        ([entry("x", 0, 8), entry("y", 16, 24)], 24, "cannot be read"),
        ([entry("x", 0, 8, shape="[-2]")], 8, "cannot be read"),
        ([entry("x", 0, 8, shape="[4294967296, 4294967296]")], 8, "cannot be read"),
        ([entry("x", 0, 8, "F33")], 8, "cannot be read"),
        ([entry("a\x1b[2J", 0, 8)], 8, r"has a tensor 'a\\x1b\[2J': a name has 1 to 512 characters"),
        ([entry("x" * 600, 0, 8)], 8, r"has a tensor 'x+\.\.\.: a name has 1 to 512 characters"),
        ([entry("", 0, 8)], 8, "has a tensor '': a name has"),
    ],
    ids=[
        "twice",
        "odd place",
        "overlap",
        "short",
        "hole",
        "negative",
        "huge",
        "type",
        "escape",
        "long",
        "none",
    ],
)
def test_refused(tmp_path: Path, entries: list[str], data: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_shapes(write(tmp_path / "m.safetensors", *entries, data=data))


def test_a_header_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for length in (MOST_HEADER_BYTES + 1, 2**63, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", length) + bytes(100))
        with pytest.raises(ModelError, match="it has 108 bytes, which is less than its header"):
            read_shapes(path)
    length = MOST_HEADER_BYTES + 1
    path.write_bytes(struct.pack("<Q", length))
    os.truncate(path, 2 * length)
    with pytest.raises(ModelError, match=f"its header has {length} bytes, at most"):
        read_shapes(path)
    path.write_bytes(b"abc")
    with pytest.raises(ModelError, match="cannot be read"):
        read_shapes(path)
