"""lowpeak-runner as the APK carries it: lib/ABI/liblowpeak_runner.so, with the libraries that it needs.

Android installs of lib/ABI what is called lib*.so, into a folder that the app may start programs of. It
is the only one: what was pushed or downloaded cannot be started by an app.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from tools.sdk import BuildError

RUNNER, PACKED = "lowpeak-runner", "liblowpeak_runner.so"
MACHINES = {"arm64-v8a": 183, "x86_64": 62}
"""Of the ABIs that there are runners for, ELF's numbers."""
PAGE = 16384
LINKER = "/system/bin/linker64"
_LOAD, _INTERPRETER = 1, 3
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")


@dataclass(frozen=True)
class NativeFile:
    abi: str
    path: Path
    name: str
    """In the APK."""


def missing_runner(abi: str, path: Path) -> str:
    """What is missing, with what to do; empty if the program is there."""
    program = _program(path)
    if program.is_file():
        return ""
    return f"there is no {program}: build native/ for {abi} (--native), or name one by --runner"


def native_files(abi: str, path: Path, linux: bool) -> list[NativeFile]:
    """The program, or all of a folder with it. `linux`: programs that are not for Android are let through.

    The program is there. Raises BuildError for what Android would not install or could not start.
    """
    if abi not in MACHINES:
        raise BuildError(f"--runner {abi}=...: the ABI is one of {', '.join(MACHINES)}")
    program = _program(path)
    libraries = sorted(path.glob("*.so*")) if path.is_dir() else []
    files = [NativeFile(abi, program, PACKED)] + [NativeFile(abi, one, one.name) for one in libraries]
    for file in files:
        _check(file, linux)
    return files


def _program(path: Path) -> Path:
    return path / RUNNER if path.is_dir() else path


def _check(file: NativeFile, linux: bool) -> None:
    machine, alignment, interpreter = _read_elf(file.path)
    if machine != MACHINES[file.abi]:
        raise BuildError(
            f"{file.path} is built for ELF machine {machine}; {file.abi} is {MACHINES[file.abi]}"
        )
    if linux:
        return
    if interpreter not in ("", LINKER):
        raise BuildError(
            f"{file.path} is a program for {interpreter}, not for Android ({LINKER}): build it with the NDK "
            "(--native), or add --linux-runner to pack it all the same; it will not start on a phone"
        )
    if alignment < PAGE:
        raise BuildError(
            f"{file.path} is linked for pages of {alignment} bytes, phones have some of {PAGE}: link it with "
            f"-Wl,-z,max-page-size={PAGE}"
        )
    if not (file.name.startswith("lib") and file.name.endswith(".so")):
        raise BuildError(f"{file.path}: Android installs no library whose name is not lib*.so")


def _read_elf(path: Path) -> tuple[int, int, str]:
    """(machine, least alignment of a segment that is loaded, interpreter or "")."""
    data = path.read_bytes()
    try:
        if data[:6] != b"\x7fELF\x02\x01":
            raise BuildError(f"{path} is no 64-bit program for Linux or Android")
        _, _, machine, _, _, offset, _, _, _, size, count, *_ = _HEADER.unpack_from(data)
        segments = [_SEGMENT.unpack_from(data, offset + i * size) for i in range(count)]
    except struct.error as error:
        raise BuildError(f"{path} ends within its ELF header") from error
    alignment = min((segment[7] for segment in segments if segment[0] == _LOAD), default=0)
    for kind, _, start, _, _, length, _, _ in segments:
        if kind == _INTERPRETER:
            return machine, alignment, data[start : start + length].rstrip(b"\0").decode()
    return machine, alignment, ""
