"""What a program or library says of the machine that it is built for: the head of an ELF file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from lowpeak_artifact.errors import EnvironmentProblem

ABIS = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64"}
"""Android's names for ELF's machines."""

_LOAD = 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")


@dataclass(frozen=True)
class ElfFile:
    path: Path
    abi: str
    alignment: int
    """Bytes: the largest page size that it can be loaded with."""


def read_elf(path: Path) -> ElfFile:
    """Raises EnvironmentProblem for what is no 64-bit little-endian ELF file."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or header[:6] != b"\x7fELF\x02\x01":
                raise EnvironmentProblem(f"{path} is no 64-bit program for Linux or Android")
            _, _, machine, _, _, offset, _, _, _, size, count, *_ = _HEADER.unpack(header)
            file.seek(offset)
            segments = [_SEGMENT.unpack_from(file.read(size)) for _ in range(count)]
    except (OSError, struct.error) as error:
        raise EnvironmentProblem(f"{path} cannot be read as a program: {error}") from error
    alignments = [segment[-1] for segment in segments if segment[0] == _LOAD]
    return ElfFile(path, ABIS.get(machine, f"machine {machine}"), min(alignments, default=0))


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
