"""Target: a GGUF file, opened as a model, every tensor read."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from lowpeak_artifact.errors import LowpeakError
from tests.fuzz.python.model_mutations import mutated_bytes
from tests.fuzz.python.models import gguf_file, read_model, work

_HEAD = 6000
"""Bytes of metadata and the table of tensors in the seed."""


def seeds() -> list[bytes]:
    return [gguf_file()]


def mutate(data: bytes, random: Random) -> bytes:
    return mutated_bytes(data, random, _HEAD)


def target(data: bytes) -> None:
    """Only a LowpeakError is expected to come out of what it calls."""
    path = work() / "case.gguf"
    path.write_bytes(data)
    with suppress(LowpeakError):
        read_model(path)
