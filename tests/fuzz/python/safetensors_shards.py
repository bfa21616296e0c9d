"""Target: the index and the shards of a checkpoint folder beside a sound config, every tensor read.

The files are one input: sizes as 4-byte numbers, then the contents; the index comes first.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from random import Random

from lowpeak_artifact.errors import LowpeakError
from lowpeak_compiler.frontend.model.folder import INDEX
from tests.fuzz.python.model_mutations import mutated_bytes, mutated_json
from tests.fuzz.python.models import copy_of, read_model, sharded


def _names() -> list[str]:
    return [INDEX, *sorted(path.name for path in sharded().glob("model-*.safetensors"))]


def _joined(files: list[bytes]) -> bytes:
    return struct.pack(f"<{len(files)}I", *map(len, files)) + b"".join(files)


def _parted(data: bytes) -> list[bytes]:
    count = len(_names())
    if len(data) < 4 * count:
        return [data] * count
    files, place = [], 4 * count
    for size in struct.unpack_from(f"<{count}I", data):
        files.append(data[place : place + size])
        place += size
    return files


def seeds() -> list[bytes]:
    return [_joined([(sharded() / name).read_bytes() for name in _names()])]


def mutate(data: bytes, random: Random) -> bytes:
    files = _parted(data)
    which = random.randrange(len(files))
    with suppress(ValueError, IndexError, TypeError):
        if which == 0:
            files[0] = mutated_json(files[0], random)
        elif random.random() < 0.3:
            files[which] = mutated_bytes(files[which], random, 1500)
        else:
            length = int.from_bytes(files[which][:8], "little")
            header = mutated_json(files[which][8 : 8 + length], random)
            files[which] = struct.pack("<Q", len(header)) + header + files[which][8 + length :]
    return _joined(files)


def target(data: bytes) -> None:
    """Only a LowpeakError is expected to come out of what it calls."""
    folder = copy_of(sharded(), "shards")
    for name, content in zip(_names(), _parted(data), strict=True):
        (folder / name).write_bytes(content)
    with suppress(LowpeakError):
        read_model(folder)
