"""Files to a device: only what it has not got, in pieces, so that a broken push goes on where it broke.

A file is written as NAME.partial and gets its name when the device's sha256 of it is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowpeak.phone.checks import free_bytes
from lowpeak.phone.shell import Device, join, transfer_seconds
from lowpeak_artifact.artifact import sha256_of
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem

PIECE_BYTES = 1 << 23
PARTIAL = ".partial"
NO_SPACE = "No space left"

Progress = Callable[[int, int, str], None]
"""Told of bytes that are there, of all bytes, and the file."""


@dataclass(frozen=True)
class Outgoing:
    """A file and where it is to lie on the device."""

    source: Path
    target: PurePosixPath
    size: int
    sha256: str
    executable: bool = False

    @staticmethod
    def of(
        source: Path, target: PurePosixPath, sha256: str | None = None, executable: bool = False
    ) -> Outgoing:
        """`sha256`: if it is known already. Raises ArtifactError when the file cannot be read."""
        try:
            return Outgoing(source, target, source.stat().st_size, sha256 or sha256_of(source), executable)
        except OSError as error:
            raise ArtifactError(f"{source} cannot be read: {error.strerror}") from error

    @property
    def partial(self) -> PurePosixPath:
        return self.target.with_name(self.target.name + PARTIAL)


@dataclass(frozen=True)
class Missing:
    """A file that the device has not got; its first `present` bytes are there already."""

    file: Outgoing
    present: int

    @property
    def left(self) -> int:
        return self.file.size - self.present


def missing(device: Device, files: Sequence[Outgoing]) -> list[Missing]:
    """What has to be sent: everything on the device that should be equal is hashed there."""
    script = f"""while IFS= read -r size && IFS= read -r name; do
      if [ "$(stat -c %s "$name" 2>/dev/null)" = "$size" ]; then echo "whole $size $(sha256sum < "$name")"
      elif [ -f "$name{PARTIAL}" ] && [ ! -L "$name{PARTIAL}" ]; then
        echo "part $(stat -c %s "$name{PARTIAL}") $(sha256sum < "$name{PARTIAL}")"
      else echo "none 0 -"; fi
    done"""
    asked = "".join(f"{file.size}\n{file.target}\n" for file in files).encode()
    told = device.run(script, asked, timeout=transfer_seconds(sum(file.size for file in files))).splitlines()
    folders = []
    for file, line in zip(files, told, strict=True):
        what, size, sha256, *_ = line.split()
        if what == "whole" and sha256 == file.sha256:
            continue
        resumable = what == "part" and _begins_with(file.source, int(size), sha256)
        folders.append(Missing(file, int(size) if resumable else 0))
    return folders


def send(device: Device, files: Sequence[Missing], progress: Progress = lambda *_: None) -> int:
    """Sends them -> bytes sent.

    Raises EnvironmentProblem when the connection breaks, the device's disk is full, or what arrives there is
    not what was sent.
    """
    total, done, sent = sum(each.file.size for each in files), 0, 0
    _make_folders(device, {each.file.target.parent for each in files})
    for each in files:
        file, before = each.file, done

        def report(there: int, file: Outgoing = file, before: int = before) -> None:
            progress(before + there, total, file.source.name)

        sent += _send_pieces(device, file, each.present, report)
        if not _take(device, file):
            # What was there of it may have been of another file with the same beginning.
            sent += _send_pieces(device, file, 0, report)
            if not _take(device, file):
                raise EnvironmentProblem(
                    f"{file.source.name} arrives on {device} as another file, sent twice: its sha256 there "
                    f"is not {file.sha256}. The cable, the storage, or the file here, which must not be "
                    "written to meanwhile, is at fault"
                )
        done += file.size
    return sent


def remove_others(device: Device, folder: PurePosixPath, keep: Iterable[PurePosixPath]) -> None:
    """Removes from the folder the files of an earlier push that are not to be there, and empty folders."""
    known = set(keep)
    listing = device.run(join(["find", str(folder), "-type", "f"]))
    others = [name for name in listing.splitlines() if PurePosixPath(name) not in known]
    if others:
        names = "".join(f"{name}\n" for name in others).encode()
        device.run('while IFS= read -r name; do rm -f "$name"; done', names)
        # One that holds something stays.
        empty = 'while IFS= read -r name; do rmdir "$name" 2>/dev/null; done; true'
        device.run(f"{join(['find', str(folder), '-depth', '-type', 'd'])} | {empty}")


def _make_folders(device: Device, folders: set[PurePosixPath]) -> None:
    if folders:
        device.run(join(["mkdir", "-p", *sorted(map(str, folders))]))


def _send_pieces(device: Device, file: Outgoing, present: int, report: Callable[[int], None]) -> int:
    """Adds what is missing to the partial file -> bytes sent."""
    there, append = present, present > 0
    with file.source.open("rb") as source:
        source.seek(there)
        while there < file.size or not append:
            piece = source.read(min(PIECE_BYTES, file.size - there))
            if not piece and there < file.size:
                raise ArtifactError(f"{file.source} has become shorter while it was sent")
            _add(device, file, piece, append)
            there, append = there + len(piece), True
            report(there)
    return there - present


def _add(device: Device, file: Outgoing, piece: bytes, append: bool) -> None:
    partial = join([str(file.partial)])
    # A link in its place may lead anywhere.
    command = f"cat >> {partial}" if append else f"rm -f {partial} && cat > {partial}"
    ended, _ = device.attempt(command, piece, timeout=transfer_seconds(PIECE_BYTES))
    if not ended.status:
        return
    if NO_SPACE in ended.stderr:
        free = free_bytes(device, file.target.parent)
        raise EnvironmentProblem(
            f"{device} has no room for {file.source.name} of {file.size} bytes: {free} bytes are free in "
            f"{file.target.parent}. Free some there, and run the same command again: it goes on from here",
            free_bytes=free,
            needed_bytes=file.size,
        )
    raise EnvironmentProblem(f"{file.target} cannot be written on {device}: {ended.stderr}")


def _take(device: Device, file: Outgoing) -> bool:
    """Gives the file its name if it is whole; whether it is."""
    partial, target = str(file.partial), str(file.target)
    said = device.run(f"sha256sum < {join([partial])}", timeout=transfer_seconds(file.size))
    if said.split()[0] != file.sha256:
        return False
    mode = join(["chmod", "700", partial]) + " && " if file.executable else ""
    device.run(mode + join(["mv", "-f", partial, target]))
    return True


def _begins_with(path: Path, size: int, sha256: str) -> bool:
    if size > path.stat().st_size:
        return False
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left:
            piece = file.read(min(left, PIECE_BYTES))
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest() == sha256
