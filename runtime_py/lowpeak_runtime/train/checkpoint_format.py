"""The file of a checkpoint: a safetensors file with a checksum of all its bytes.

    {"__metadata__":{"checksum":"<64 hex digits>","format":...,"progress":...},<tensors>}<their bytes>

The checksum is the SHA-256 of the whole file, its length before the header included, as it is with zeros in
place of the checksum's own digits. native/trainer/checkpoint_format.h has the same. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.json_file import without_duplicates
from lowpeak_artifact.regular_file import open_regular
from lowpeak_artifact.safetensors_header import LENGTH_BYTES, Damaged, Header
from lowpeak_artifact.safetensors_header import read_header as header_of
from lowpeak_runtime.train.fingerprint import fingerprint, option_fields

FORMAT = "lowpeak-checkpoint-4"
OPTIONS_AS_TEXT = "lowpeak-checkpoint-3"
"""Has no fingerprint: its options are the text that json.dumps made of them. Such a run goes on."""
CHECKSUM = "checksum"
NO_CHECKSUM = "0" * 64

_START = b'{"__metadata__":{"checksum":"'
_PLACE = LENGTH_BYTES + len(_START)
_END = _PLACE + len(NO_CHECKSUM)
_OTHER_FORMATS = (b'"format":"lowpeak-checkpoint-1"', b'"format":"lowpeak-checkpoint-2"')
_PIECE_BYTES = 1 << 18
MOST = 2**53
"""Steps and places in the data: beyond it no JSON reader has every whole number."""


@dataclass(frozen=True)
class Progress:
    """Where a run is, and what it must not change in order to continue."""

    artifact: str
    """`artifact_id` of the artifact that is trained."""

    step: int
    """Updates made."""

    seed: int
    """Of the data's order."""

    fingerprint: str
    """Of the options (fingerprint.py)."""

    options: Mapping[str, str]
    """Fields of the options that later steps depend on, to name what differs."""

    data: str
    """SHA-256 of what is trained on."""

    position: int
    """Where the last step ended in the order of the data."""

    def same_run(self, other: Progress) -> bool:
        mine, theirs = ((each.artifact, each.seed, each.fingerprint, each.data) for each in (self, other))
        return mine == theirs


def metadata_of(progress: Progress) -> dict[str, str]:
    """Of a file that is still to get its checksum."""
    return {
        CHECKSUM: NO_CHECKSUM,
        "format": FORMAT,
        "progress": json.dumps(dataclasses.asdict(progress)),
    }


class Checksummed:
    """Passes on what is written to a file, from its first byte on; `finish` writes the checksum in."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)

    def finish(self) -> None:
        self._file.seek(_PLACE)
        self._file.write(self._digest.hexdigest().encode())


def read_header(path: Path) -> Progress:
    """Without a look at the tensors, so a checkpoint that is damaged there is not found out.

    Raises Damaged; ArtifactError for a file of another version of lowpeak.
    """
    with _opened(path) as file:
        return _progress(path, _header(path, file))


def verify(path: Path) -> Progress:
    """Reads every byte once, in pieces. Raises as `read_header`."""
    with _opened(path) as file:
        header = _header(path, file)
        head = header.content
        digest = hashlib.sha256(head[:_PLACE] + NO_CHECKSUM.encode() + head[_END:])
        try:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
        except OSError as error:
            raise Damaged(f"it cannot be read: {error.strerror}") from error
        if digest.hexdigest().encode() != head[_PLACE:_END]:
            raise Damaged("its bytes do not give its checksum")
        return _progress(path, header)


def _opened(path: Path) -> FileIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror}") from error


def _header(path: Path, file: FileIO) -> Header:
    try:
        header = header_of(file)
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror}") from error
    if not header.content.startswith(_START, LENGTH_BYTES):
        if any(other in header.content for other in _OTHER_FORMATS):
            raise ArtifactError(
                f"{path} is a checkpoint of an earlier version of lowpeak: end its run with that version, or "
                "train into a new folder"
            )
        raise Damaged("it does not begin as a checkpoint")
    return header


def _progress(path: Path, header: Header) -> Progress:
    written_as = header.metadata.get("format", "")
    if written_as not in (FORMAT, OPTIONS_AS_TEXT):
        raise ArtifactError(
            f"{path} is no checkpoint of this version of lowpeak, its format is {written_as!r}: end its run "
            "with the version that began it, or train into a new folder"
        )
    try:
        fields = json.loads(header.metadata["progress"], object_pairs_hook=without_duplicates)
        if written_as == OPTIONS_AS_TEXT:
            stated = option_fields(json.loads(fields["options"], object_pairs_hook=without_duplicates))
            fields = {**fields, "options": stated, "fingerprint": fingerprint(stated)}
        progress = Progress(**fields)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Damaged(f"its progress cannot be read: {error}") from error
    for name in ("artifact", "fingerprint", "data"):
        if not isinstance(getattr(progress, name), str):
            raise Damaged(f"its {name} is no text")
    options: object = progress.options
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise Damaged("its options are no texts by name")
    for name in ("step", "position"):
        if not _is_count(getattr(progress, name)):
            raise Damaged(f"its {name} is {getattr(progress, name)!r}, which no run can have")
    if type(progress.seed) is not int or not -(2**63) <= progress.seed < 2**63:
        raise Damaged(f"its seed is {progress.seed!r}, which no run can have")
    return progress


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < MOST
