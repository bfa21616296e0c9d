"""What a program is built for."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lowpeak.phone.elf import read_elf
from lowpeak_artifact.errors import EnvironmentProblem


def elf(machine: int, *alignments: int) -> bytes:
    """The head of a file with a loaded segment for each alignment, after one that is not loaded."""
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    count = len(alignments) + 1
    header = struct.pack("<16sHHIQQQIHHHHHH", identity, 3, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    kinds = [(6, 8), *((1, alignment) for alignment in alignments)]
    return header + b"".join(struct.pack("<IIQQQQQQ", kind, 0, 0, 0, 0, 0, 0, a) for kind, a in kinds)


@pytest.mark.parametrize("machine, abi", [(183, "arm64-v8a"), (62, "x86_64"), (8, "machine 8")])
def test_abi_and_page_size(machine: int, abi: str, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(elf(machine, 65536, 16384))
    found = read_elf(tmp_path / "program")
    assert (found.abi, found.alignment) == (abi, 16384)


def test_a_real_program_is_read_as_readelf_does() -> None:
    program = Path(sys.executable).resolve()
    told = subprocess.run(["readelf", "-lW", str(program)], capture_output=True, text=True, check=True).stdout
    alignments = [int(line.split()[-1], 16) for line in told.splitlines() if line.split()[:1] == ["LOAD"]]
    assert read_elf(program).alignment == min(alignments)


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", elf(183, 4096)[:100], b"\x7fELF\x01\x01" + b"\0" * 90]
)
def test_what_is_no_program_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=r"file (is no 64-bit program|cannot be read as a program)"):
        read_elf(tmp_path / "file")
