"""How far a run on a device is, and its checkpoint brought here."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compiler.errors import ArtifactError, EnvironmentProblem
from export.artifact import sha256_of
from lowpeak.phone.shell import Device, join
from runtime_py.checkpoint import Progress, read_progress
from runtime_py.trainer import CHECKPOINT

HEADER_BYTES = 1 << 22
"""More than the header of any checkpoint."""


@dataclass(frozen=True)
class PhoneCheckpoint:
    """A checkpoint on a device."""

    device: Device
    path: PurePosixPath
    size: int
    progress: Progress

    @staticmethod
    def find(device: Device, folder: PurePosixPath) -> PhoneCheckpoint | None:
        """That in a run's folder, if there is one; only its header is fetched. Raises ArtifactError when it
        is damaged.
        """
        path = folder / CHECKPOINT
        name = join([str(path)])
        size = device.run(f"[ -f {name} ] && stat -c %s {name} || true").strip()
        if not size:
            return None
        with tempfile.TemporaryDirectory(prefix="lowpeak-") as temporary:
            file = Path(temporary) / CHECKPOINT
            with file.open("wb") as head:
                device.fetch(f"head -c {HEADER_BYTES} {name}", head)
                # The header is what is read, but the file must be as long as that says.
                head.truncate(int(size))
            try:
                return PhoneCheckpoint(device, path, int(size), read_progress(file))
            except ArtifactError as error:
                raise ArtifactError(str(error).replace(str(file), f"{path} on {device}")) from error

    def fetch(self, target: Path) -> None:
        """Brings it to `target`, which is replaced when it is here and its hash is right.

        Raises EnvironmentProblem when the connection breaks or it arrives as another file.
        """
        name = join([str(self.path)])
        temporary = target.with_name(f".{target.name}.phone")
        try:
            with temporary.open("wb") as file:
                # Opened once: a runner that saves meanwhile puts another file in its place.
                script = f"exec 3< {name} && cat <&3 && sha256sum < /proc/self/fd/3 >&2"
                told = self.device.fetch(script, file, nbytes=self.size)
            if sha256_of(temporary) != told.split()[0]:
                raise EnvironmentProblem(f"{self.path} arrives from {self.device} as another file: try again")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
