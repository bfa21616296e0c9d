"""Changes of a file that its reader gets far with: of JSON by its values, of a program by its numbers."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.program_places import Place, places_of

Mutator = Callable[[Random, bytes], bytes]

WHOLE = [
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    64,
    127,
    128,
    255,
    256,
    1000,
    2**15,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
]
WHOLE += [-(2**31), 2**32 - 1, 2**32, 2**40, 2**48, 2**53, 2**62, 2**63 - 1, -(2**63), -2, -100]
FRACTIONS = [0.0, -0.0, -1.0, 0.5, 1e-45, 1e30, 1e308, -1e308]
TEXTS = [
    "",
    "a",
    "\x00",
    "float32",
    "int64",
    "F32",
    "I64",
    "../x",
    "x" * 300,
    "é",
    "\U0001f600",
    " ",
    "a" * 70_000,
]
TEXTS += [
    "(a*)*b",
    "(a|a)*b",
    "a*a*a*a*a*b",
    "(((a?){32}){32}){32}",
    r"\s*\s*\s*\s*x",
    "[^",
    "(?!a)",
    r"\p{L}+",
    "{",
]


def integer_bytes(chance: Random, width: int) -> bytes:
    return struct.pack("<Q", chance.choice(WHOLE) % 2 ** (8 * width))[:width]


def of_bytes(chance: Random, data: bytes) -> bytes:
    """Bits, numbers, pieces that are cut, doubled or moved."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(content) + 1)
        if chance.random() < 0.5:
            place = min(place, chance.randrange(400))  # headers
        kind = chance.randrange(8)
        size = chance.choice((1, 2, 4, 8, 16, 64, 1000))
        if kind == 0 and place < len(content):
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(content):
            content[place] = chance.randrange(256)
        elif kind in (2, 3):
            width = chance.choice((2, 4, 8))
            place -= place % width
            content[place : place + width] = integer_bytes(chance, width)
        elif kind == 4:
            del content[place : place + size]
        elif kind == 5:
            content[place:place] = content[place : place + size] or b"\0" * size
        elif kind == 6:
            other = chance.randrange(len(content) + 1)
            content[place : place + size] = content[other : other + size]
        else:
            del content[place:]
    return bytes(content)


def of_value(chance: Random, value: Any) -> Any:
    """Another value for one of a document."""
    kind = chance.randrange(6)
    if kind == 0 and isinstance(value, int) and not isinstance(value, bool):
        return value + chance.choice((-1, 1, 8, -8, 1000, value, -2 * value))
    if kind == 1 and isinstance(value, str) and value:
        place = chance.randrange(len(value))
        return value[:place] + chance.choice(TEXTS) + value[place + chance.randrange(2) :]
    if kind == 2 and isinstance(value, list) and value:
        return [*value, chance.choice(value)] if chance.random() < 0.5 else value[:-1]
    if kind == 3 and isinstance(value, list | dict):
        return type(value)()
    pool: list[Any] = [
        chance.choice(WHOLE),
        chance.choice(WHOLE),
        chance.choice(FRACTIONS),
        chance.choice(TEXTS),
    ]
    pool += [None, True, False, [], {}, [[]], [1, 2, 3], {"a": 1}]
    if isinstance(value, int):
        pool = pool[:2] * 3 + pool
    if isinstance(value, str):
        pool = [chance.choice(TEXTS) for _ in range(6)] + pool
    return chance.choice(pool)


def of_document(chance: Random, document: Any) -> Any:
    """A copy with some values changed, left out or exchanged with others."""
    made = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 2, 3))):
        result: list[tuple[Any, Any]] = []
        holder = made
        # Down to some depth: values near the top are met as often as those in long lists.
        while isinstance(holder, dict | list) and holder:
            key = chance.choice(list(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
            result.append((holder, key))
            holder = holder[key]
        if not result:
            return of_value(chance, made)
        holder, key = result[-1] if chance.random() < 0.7 else chance.choice(result)
        if chance.random() < 0.15:
            del holder[key]
        elif chance.random() < 0.1 and isinstance(holder, dict):
            holder[chance.choice(TEXTS)] = holder[key]
        else:
            holder[key] = of_value(chance, holder[key])
    return made


def of_json(chance: Random, data: bytes) -> bytes:
    if chance.random() < 0.2:
        return of_bytes(chance, data)
    text = json.dumps(of_document(chance, json.loads(data)))
    if chance.random() < 0.05:
        # A field twice.
        text = text.replace("{", '{"' + chance.choice(TEXTS[:6]) + '": 1, ', 1)
    return text.encode("utf-8", "surrogatepass")


def of_lines(chance: Random, data: bytes) -> bytes:
    lines = data.splitlines()
    place = chance.randrange(len(lines))
    lines[place] = of_json(chance, lines[place])
    if chance.random() < 0.2:
        lines.insert(place, of_bytes(chance, lines[place]))
    return b"\n".join(lines) + b"\n"


def of_safetensors(chance: Random, data: bytes) -> bytes:
    if chance.random() < 0.3:
        return of_bytes(chance, data)
    (size,) = struct.unpack("<Q", data[:8])
    header = json.dumps(of_document(chance, json.loads(data[8 : 8 + size]))).encode()
    header += b" " * (-len(header) % 64 + 56) if chance.random() < 0.8 else b""
    length = len(header) if chance.random() < 0.9 else chance.choice(WHOLE) % 2**64
    return struct.pack("<Q", length) + header + data[8 + size :]


def of_program(chance: Random, data: bytes) -> bytes:
    """Numbers of a program's table, and the rest as bytes."""
    if chance.random() < 0.15:
        return of_bytes(chance, data)
    places = places_of(data)
    content = bytearray(data)
    kinds = sorted({place.kind for place in places})
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind = chance.choice(kinds)
        _change(chance, content, chance.choice([place for place in places if place.kind == kind]), places)
    return bytes(content)


def _change(chance: Random, content: bytearray, place: Place, places: list[Place]) -> None:
    start, width = place.start, place.width
    if chance.random() < 0.4:
        # What stands in another place of the kind.
        other = chance.choice([each for each in places if each.kind == place.kind])
        content[start : start + width] = content[other.start : other.start + width]
    elif chance.random() < 0.4:
        value = int.from_bytes(content[start : start + width], "little") + chance.choice(
            (-1, 1, 2, 4, 8, -8, 64)
        )
        content[start : start + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    else:
        content[start : start + width] = integer_bytes(chance, width)


def of_weights(chance: Random, data: bytes) -> bytes:
    """Numbers of the table, four or eight bytes each, and the rest as bytes."""
    (base,) = struct.unpack("<Q", data[32:40])
    if chance.random() < 0.2:
        return of_bytes(chance, data)
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        width = chance.choice((1, 2, 4, 4, 8))
        _change(chance, content, *_table_places(chance, base, width))
    return bytes(content)


def _table_places(chance: Random, end: int, width: int) -> tuple[Place, list[Place]]:
    places = [Place(chance.randrange(end // width) * width, width, "") for _ in range(2)]
    return places[0], places
