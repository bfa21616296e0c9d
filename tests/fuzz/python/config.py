"""Target: the config.json of a checkpoint folder whose weights are sound."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from lowpeak_artifact.errors import LowpeakError
from tests.fuzz.python.model_mutations import mutated_bytes, mutated_json
from tests.fuzz.python.models import checkpoint, copy_of, read_model


def seeds() -> list[bytes]:
    return [(checkpoint() / "config.json").read_bytes()]


def mutate(data: bytes, random: Random) -> bytes:
    with suppress(ValueError, IndexError, TypeError):
        if random.random() < 0.95:
            return mutated_json(data, random)
    return mutated_bytes(data, random, len(data))


def target(data: bytes) -> None:
    """Only a LowpeakError is expected to come out of what it calls."""
    folder = copy_of(checkpoint(), "config")
    (folder / "config.json").write_bytes(data)
    with suppress(LowpeakError):
        read_model(folder)
