"""How far a run on a device is, and its checkpoint brought here."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lowpeak.phone.shell import Device, join, transfer_seconds
from lowpeak_artifact.artifact import sha256_of
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.safetensors_header import Damaged
from lowpeak_artifact.whole_file import sync
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    Progress,
    Tell,
    install,
    read_progress,
    settle,
)
from lowpeak_runtime.train.checkpoint_format import verify

HEADER_BYTES = 1 << 22
"""More than the header of any checkpoint."""


@dataclass(frozen=True)
class PhoneCheckpoint:
    """A checkpoint on a device."""

    device: Device
    path: PurePosixPath
    size: int
    progress: Progress
    before: PhoneCheckpoint | None = None
    """Another, with fewer steps."""
    damage: str = ""
    """Of the one in whose place this is."""

    @staticmethod
    def find(device: Device, folder: PurePosixPath) -> PhoneCheckpoint | None:
        """The newest in a run's folder by the headers, which alone are fetched; None if there is none. Raises
        ArtifactError when there are some and all are damaged there.
        """
        newest: PhoneCheckpoint | None = None
        damage = []
        for path in (folder / PREVIOUS, folder / CHECKPOINT):
            try:
                checkpoint = _look(device, path)
            except ArtifactError as error:
                damage.append(str(error))
                continue
            if checkpoint is None:
                continue
            if newest is not None and newest.progress.step > checkpoint.progress.step:
                newest = dataclasses.replace(newest, before=checkpoint)
            else:
                newest = dataclasses.replace(checkpoint, before=newest)
        if newest is None and damage:
            raise ArtifactError(" and ".join(damage))
        if newest is not None and newest.path.name == PREVIOUS:
            newest = dataclasses.replace(newest, damage="".join(damage))
        return newest

    def fetch(self, target: Path, tell: Tell, here: int = 0) -> None:
        """Brings it to `target` when it is here and whole; what was there becomes the generation before. What
        arrived before a connection broke is gone on with, if it is the beginning of the file. One that is
        damaged on the device is left: `tell` is told, and the one before it comes, unless it has fewer than
        the `here` steps that are here.

        Raises EnvironmentProblem when the connection breaks or it arrives as another file; ArtifactError when
        none is whole on the device.
        """
        if self.damage:
            tell(f"{self.damage}: {self.path.name} is used, with {self.progress.step} steps")
        partial = target.with_name(f".{target.name}.phone")
        if not self._fetch_rest(partial) and not self._fetch_rest(partial):
            raise EnvironmentProblem(
                f"{self.path} arrives from {self.device} as another file, sent twice: the cable or a storage "
                "is at fault. Try again"
            )
        try:
            verify(partial)
        except Damaged as error:
            partial.unlink()
            what = f"{self.path} on {self.device} is damaged ({error})"
            if self.before is None or self.before.progress.step < here:
                raise ArtifactError(f"{what}, and none before it has more than {here} steps") from error
            tell(f"{what}: {self.before.path.name} is used, with {self.before.progress.step} steps")
            self.before.fetch(target, tell, here)
            return
        settle(target)
        sync(partial)
        install(partial, target)

    def _fetch_rest(self, partial: Path) -> bool:
        """Adds what is missing to the partial file; whether it is whole then, else it is gone."""
        there = self._present(partial)
        # Opened once: a runner that saves meanwhile puts another file in its place.
        script = f"""exec 3< {join([str(self.path)])} && tail -c +{there + 1} < /proc/self/fd/3 &&
          sha256sum < /proc/self/fd/3 >&2"""
        with _to_append(partial) as file:
            file.truncate(there)
            told = self.device.fetch(script, file, nbytes=2 * self.size - there)
        if sha256_of(partial) == told.split()[0]:
            return True
        partial.unlink()
        return False

    def _present(self, partial: Path) -> int:
        """Bytes of the partial file that the device's file begins with."""
        if partial.is_symlink():
            partial.unlink()
        size = partial.stat().st_size if partial.exists() else 0
        if not 0 < size <= self.size:
            return 0
        told = self.device.run(
            f"head -c {size} {join([str(self.path)])} | sha256sum", timeout=transfer_seconds(size)
        )
        return size if told.split()[0] == sha256_of(partial) else 0


def _look(device: Device, path: PurePosixPath) -> PhoneCheckpoint | None:
    """None if there is no such file; ArtifactError when its header is damaged."""
    name = join([str(path)])
    size = device.run(f"[ -f {name} ] && stat -c %s {name} || true").strip()
    if not size:
        return None
    with tempfile.TemporaryDirectory(prefix="lowpeak-") as temporary:
        file = Path(temporary) / path.name
        with file.open("wb") as head:
            device.fetch(f"head -c {HEADER_BYTES} {name}", head)
            # The header is what is read, but the file must be as long as that says.
            head.truncate(int(size))
        try:
            return PhoneCheckpoint(device, path, int(size), read_progress(file))
        except ArtifactError as error:
            raise ArtifactError(str(error).replace(str(file), f"{path} on {device}")) from error


def _to_append(path: Path) -> BinaryIO:
    """Never through a link, which may lead anywhere."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "ab")
