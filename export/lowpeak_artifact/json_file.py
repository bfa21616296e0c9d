"""A JSON object of a model's folder, of which nothing is trusted: its size, depth, names and text."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_types import json_type

MOST_CONTAINERS = 500_000
"""Objects and lists in one file. An empty one takes 2 bytes there, and 64 in memory."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
SHOWN = 80
"""Characters of a value in a message."""


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """The object in the file, which is UTF-8 and has each name once.

    Raises ModelError, with the path, for any other file and for one of more than `most_bytes`.
    """
    try:
        with path.open("rb") as file:
            # One byte more than allowed tells a longer file, whatever its length was said to be.
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if len(content) > most_bytes:
        raise ModelError(f"{path} has over {most_bytes} bytes, the most that is read", most=most_bytes)
    return parse_object(content, str(path))


def parse_object(content: bytes, where: str) -> dict[str, Any]:
    """`where` begins the message of the ModelError."""
    containers = content.count(b"[") + content.count(b"{")
    if containers > MOST_CONTAINERS:
        raise ModelError(f"{where} has {containers} lists and objects, at most {MOST_CONTAINERS} are read")
    try:
        value = json.loads(content.decode(), object_pairs_hook=without_duplicates)
        if _SURROGATE.search(content):
            # Half a character has no UTF-8: it could be neither printed nor written again.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ModelError(f"{where} is nested too deeply to be read") from error
    except ValueError as error:
        raise ModelError(f"{where} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{where} cannot be read: it holds {json_type(value)}, not an object")
    return value


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads as its object_pairs_hook. Raises ValueError for a name that is there twice."""
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {shown(twice)} is in one object twice")
    return result


def shown(value: object) -> str:
    """As a message has it: one line, short, without control characters."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def plain(value: object) -> str:
    """As `shown`, but without quotes around what needs none."""
    text = str(value)
    return text if text.isprintable() and len(text) <= SHOWN else shown(value)
