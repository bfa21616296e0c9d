"""JSON that means one thing to every reader: no key twice, finite numbers that 64 bits hold, a bounded size.

Readers differ on all of these (the first or the last of two equal keys, NaN, 1e400), so that a file could say
one thing to the program that checked it and another to the one that runs it.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.json_file import without_duplicates

LARGEST_INTEGER = 2**63 - 1
LONGEST_NUMBER = 40
"""Digits: more than a double or a 64-bit integer needs."""


def strict_json(data: bytes, name: str, most_bytes: int) -> Any:
    """What the file `name` holds. Raises ArtifactError for anything else than said above."""
    if len(data) > most_bytes:
        raise ArtifactError(
            f"{name} has {len(data)} bytes, the most that is read is {most_bytes}; compile the artifact "
            "again",
            bytes=len(data),
        )
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=without_duplicates,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{name} cannot be read: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise ArtifactError(f"{name} is not JSON: it is nested too deeply") from error
    except ValueError as error:
        raise ArtifactError(f"{name} is not JSON: {error}") from error


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:LONGEST_NUMBER]} is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER or abs(int(text)) > LARGEST_INTEGER:
        raise ValueError(f"the number {text[:LONGEST_NUMBER]} is too large")
    return int(text)
