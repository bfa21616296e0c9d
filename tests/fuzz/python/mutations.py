"""Changes of a file that leave its form whole: a value of JSON, a field of CSV, some bytes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

VALUES: list[Any] = [
    *(0, 1, -1, 2, 3, 7, 8, 16, 63, 64, 127, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32),
    *((1 << 63) - 1, 1 << 63, 1 << 64, 10**12, 10**30, -(1 << 63)),
    *(0.0, 0.5, -0.5, 1e-320, 1e308, float("inf"), float("nan"), True, False, None),
    *("", "a", "0", "..", "/", "\x00", "\udc80", "x" * 1000),
    *("float32", "int64", "uint8", "bfloat16", "manifest.json", "weights.ptd"),
    *("aten.add.Tensor", "aten.full.default", "aten.empty.memory_format", "getitem"),
    *([], {}, [[]], [0], {"": 0}, {"node": "loss"}, {"float": "inf"}, {"dtype": "float32"}),
]


def bytes_changed(data: bytes, random: Random) -> bytes:
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        place = random.randrange(len(content) + 1)
        match random.randrange(5):
            case 0 if content:
                content[place % len(content)] ^= 1 << random.randrange(8)
            case 1 if content:
                content[place % len(content)] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                content[place:place] = random.randbytes(random.choice((1, 4, 8)))
            case 3:
                del content[place : place + random.choice((1, 4, 8, 64))]
            case _:
                size = random.choice((4, 8))
                value = random.choice([v for v in VALUES if type(v) is int]) % (1 << 8 * size)
                content[place : place + size] = value.to_bytes(size, "little")
    return bytes(content)


def json_changed(data: bytes, random: Random) -> bytes:
    """Another value, a missing or repeated field, two fields' values exchanged; bytes of what is no JSON."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return bytes_changed(data, random)
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        places = _places(root)
        if not places:
            return bytes_changed(data, random)
        holder, key = random.choice(places)
        match random.randrange(8):
            case 0:
                del holder[key]
            case 1:
                other, own = random.choice(places)
                if own in other if isinstance(other, dict) else own < len(other):
                    holder[key] = json.loads(json.dumps(other[own]))
            case 2 if isinstance(holder, list):
                holder.insert(key, json.loads(json.dumps(holder[key])))
            case 3 if type(holder[key]) is int:
                holder[key] = holder[key] + random.choice((-1, 1, 1 << 20, 1 << 40)) * random.choice(
                    (1, 1, -1)
                )
            case 4 if isinstance(holder[key], str) and holder[key]:
                place = random.randrange(len(holder[key]))
                holder[key] = holder[key][:place] + random.choice("ab0./\\ {}%") + holder[key][place + 1 :]
            case _:
                holder[key] = random.choice(VALUES)
    text = json.dumps(root)
    if random.random() < 0.05 and "{" in text:
        # The first key once more.
        text = text.replace("{", text[text.index("{") :].split(",")[0] + ", ", 1)
    return text.encode()


def csv_changed(data: bytes, random: Random) -> bytes:
    lines = [line.split(",") for line in data.decode(errors="replace").split("\n")]
    line = random.choice(lines)
    match random.randrange(4):
        case 0:
            lines.remove(line)
        case 1:
            lines.insert(random.randrange(len(lines)), list(line))
        case _:
            line[random.randrange(len(line))] = str(random.choice(VALUES))
    return "\n".join(",".join(line) for line in lines).encode(errors="replace")


def _places(root: Any) -> list[tuple[Any, Any]]:
    found, open_ = [], [root]
    while open_:
        value = open_.pop()
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in list(items):
            found.append((value, key))
            open_.append(item)
    return found
