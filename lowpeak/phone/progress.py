"""How far a run on a device is, and its checkpoint brought here."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compiler.errors import ArtifactError, EnvironmentProblem
from export.artifact import sha256_of
from lowpeak.phone.shell import Device, join, transfer_seconds
from runtime_py.checkpoint import Progress, read_progress
from runtime_py.run_folder import CHECKPOINT

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
        """Brings it to `target`, which is replaced when it is here and its hash is right. What arrived before
        a connection broke is gone on with, if it is the beginning of the file.

        Raises EnvironmentProblem when the connection breaks or it arrives as another file.
        """
        partial = target.with_name(f".{target.name}.phone")
        if not self._fetch_rest(partial) and not self._fetch_rest(partial):
            raise EnvironmentProblem(
                f"{self.path} arrives from {self.device} as another file, sent twice: the cable or a storage "
                "is at fault. Try again"
            )
        partial.replace(target)

    def _fetch_rest(self, partial: Path) -> bool:
        """Adds what is missing to the partial file; whether it is whole then, else it is gone."""
        there = self._present(partial)
        # Opened once: a runner that saves meanwhile puts another file in its place.
        script = f"""exec 3< {join([str(self.path)])} && tail -c +{there + 1} < /proc/self/fd/3 &&
          sha256sum < /proc/self/fd/3 >&2"""
        with partial.open("ab") as file:
            file.truncate(there)
            told = self.device.fetch(script, file, nbytes=2 * self.size - there)
        if sha256_of(partial) == told.split()[0]:
            return True
        partial.unlink()
        return False

    def _present(self, partial: Path) -> int:
        """Bytes of the partial file that the device's file begins with."""
        size = partial.stat().st_size if partial.exists() else 0
        if not 0 < size <= self.size:
            return 0
        told = self.device.run(
            f"head -c {size} {join([str(self.path)])} | sha256sum", timeout=transfer_seconds(size)
        )
        return size if told.split()[0] == sha256_of(partial) else 0
