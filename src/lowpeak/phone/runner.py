"""The lowpeak-runner that goes to a device: a program built for it, perhaps with libraries in its folder.

Among the libraries may be a dynamic loader (ld-linux-aarch64.so.1) and the C library: a build for Linux then
needs nothing of Android's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowpeak.phone.elf import ElfFile, is_elf, read_elf
from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_export.executorch.library import LOWPEAK, OPS, RUNNER

VARIABLE = "LOWPEAK_ANDROID_RUNNER"
LOADER = "ld-linux"


@dataclass(frozen=True)
class Runner:
    files: tuple[ElfFile, ...]
    """The program first."""

    @property
    def program(self) -> ElfFile:
        return self.files[0]

    def command(self, folder: PurePosixPath, kernels: str) -> list[str]:
        """How it is started with its files in the folder, for an artifact of these kernels."""
        loaders = [file.path.name for file in self.files if file.path.name.startswith(LOADER)]
        start = [str(folder / loaders[0]), "--library-path", str(folder)] if loaders else []
        # Without a library of them our kernels are in the program, or it says that it has none.
        has_ops = any(file.path.name == OPS for file in self.files)
        operators = ["--ops-library", str(folder / OPS)] if kernels == LOWPEAK and has_ops else []
        return [*start, str(folder / self.program.path.name), *operators]


def find_runner(place: Path | None) -> Runner:
    """`place`, or what LOWPEAK_ANDROID_RUNNER names: the program, or a folder with it and its libraries.

    Raises EnvironmentProblem when there is none.
    """
    named = place or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is None:
        raise EnvironmentProblem(
            f"no {RUNNER} for the device is named. None is shipped with lowpeak: give one that was built "
            f"for the device's ABI with --runner or {VARIABLE}, alone or in a folder with the libraries "
            "that it needs; docs/android.md says how it is built"
        )
    program = named / RUNNER if named.is_dir() else named
    if not program.is_file():
        raise EnvironmentProblem(
            f"there is no {program}: --runner takes {RUNNER}, or the folder that it is in"
        )
    if not named.is_dir():
        return Runner((read_elf(program),))
    libraries = [path for path in sorted(named.glob("*.so*")) if path.is_file() and is_elf(path)]
    return Runner((read_elf(program), *map(read_elf, libraries)))
