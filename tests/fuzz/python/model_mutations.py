"""Mutations that keep a file's form: values of JSON, fields of GGUF. Every choice is of one Random."""

from __future__ import annotations

import copy
import json
import struct
from random import Random
from typing import Any

NUMBERS: list[Any] = [
    0, -1, 1, 2, 3, 7, 2**31, 2**63, 10**6, 10**12, 10**30, 0.5, -0.5, 1e-300, 1e300, float("nan"),
    float("inf"), float("-inf"), True, False, None, "1", "", "nan", [], [1], [[[[1]]]], {}, {"a": 1},
]  # fmt: skip
"""What stands in a number's place."""


def mutated_json(data: bytes, random: Random) -> bytes:
    """A JSON object with one to three values changed, one key doubled or taken away, or depth without end."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        # What a mutation before has made of it.
        return b"{}"
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _changed(copy.deepcopy(value), random)
    text = json.dumps(value)
    odd = random.random()
    if odd < 0.01:
        return text[:-1].encode() + b', "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    if odd < 0.02:
        return text[:-1].encode() + b', "model_type": "gpt2"}'
    if odd < 0.03:
        return text.encode().replace(b"a", b"\xff", 1)
    return text.encode()


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [place for key, each in entries for place in [(*here, key), *_places(each, (*here, key))]]


def _changed(value: Any, random: Random) -> Any:
    places = _places(value)
    if not places:
        return random.choice(NUMBERS)
    *path, last = random.choice(places)
    holder = value
    for key in path:
        holder = holder[key]
    old = holder[last]
    how = random.random()
    if how < 0.1 and isinstance(holder, dict):
        del holder[last]
    elif how < 0.2 and isinstance(old, list):
        holder[last] = old * random.choice((0, 2, 1000))
    elif how < 0.3 and isinstance(old, int | float) and not isinstance(old, bool):
        holder[last] = random.choice((-old, old * 2, old + 1, old - 1, old / 2, str(old), [old]))
    else:
        holder[last] = random.choice(NUMBERS)
    return value


def mutated_bytes(data: bytes, random: Random, head: int) -> bytes:
    """Bits, bytes and 4- and 8-byte numbers changed, pieces cut out, doubled or swapped; mostly in `head`."""
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(max(1, min(head, len(content)) if random.random() < 0.95 else len(content)))
        kind = random.randrange(6)
        if kind == 0 and content:
            content[place] ^= 1 << random.randrange(8)
        elif kind == 1 and content:
            content[place] = random.choice((0, 1, 255, 127, 128))
        elif kind == 2:
            number = random.choice((0, 1, 2**31 - 1, 2**32 - 1, random.randrange(64)))
            content[place : place + 4] = struct.pack("<I", number)
        elif kind == 3:
            number = random.choice((0, 1, 2**62, 2**63, 2**64 - 1, len(data), random.randrange(4096)))
            content[place : place + 8] = struct.pack("<Q", number)
        elif kind == 4:
            del content[place : place + random.choice((1, 8, 100))]
        else:
            content[place:place] = content[place : place + random.choice((1, 8, 64))]
    return bytes(content)
